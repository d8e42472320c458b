"""The transformers' suites are whole passes: their operations and parameters are those of the published networks."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import pytest

from dlbench.ops.catalogue import ops
from dlbench.plan.suite import SuiteProblem, load_suite

OPS = ops()
PRODUCTS = ("matmul", "conv2d", "attention")


class Pass(NamedTuple):
    """Forward FLOPs in 10⁹ to six digits, the attention in full even where it is causal."""

    matmul: float
    conv: float
    attention: float
    forward: float


PASSES = {
    "bert_base": {
        "b1_s128": Pass(21.7445, 0, 0.60398, 22.3484),
        "b32_s128": Pass(695.822, 0, 19.3274, 715.15),
        "b8_s384": Pass(521.848, 0, 43.4865, 565.335),
        "b32_s512": Pass(2783.18, 0, 309.238, 3092.41),
    },
    "bert_large": {
        "b1_s384": Pass(231.93, 0, 14.4955, 246.426),
        "b32_s128": Pass(2473.97, 0, 51.5396, 2525.51),
        "b8_s384": Pass(1855.44, 0, 115.964, 1971.41),
        "b8_s512": Pass(2473.92, 0, 206.158, 2680.08),
    },
    "gpt2": {
        "train_b8_s1024": Pass(2023.95, 0, 309.238, 2333.19),
        "prefill_b1_s1024": Pass(174.023, 0, 38.6547, 212.678),
        "decode_b8_kv1024": Pass(1.97651, 0, 0.30199, 2.2785),
    },
    "llama3_8b": {
        "train_b1_s8192": Pass(122956, 0, 35184.4, 158141),
        "prefill_b1_s2048": Pass(28588.4, 0, 2199.02, 30787.4),
        "prefill_b4_s2048": Pass(114353, 0, 8796.09, 123150),
        "decode_b1_kv2048": Pass(15.0093, 0, 1.07374, 16.0831),
        "decode_b32_kv2048": Pass(480.298, 0, 34.3597, 514.658),
    },
    "vit_b16": {
        "b1": Pass(33.4658, 0.231211, 1.43065, 35.1277),
        "b64": Pass(2141.81, 14.7975, 91.5619, 2248.17),
    },
}
EVERY = [(name, part) for name, passes in PASSES.items() for part in passes]
PARAMETERS = {
    "bert_base": 109_482_240,
    "bert_large": 335_141_888,
    "gpt2": 124_439_808,
    "llama3_8b": 8_030_261_248,
    "vit_b16": 86_567_656,
}
"""Of the released checkpoints."""
BLOCKS = {"bert_base": 12, "bert_large": 24, "gpt2": 12, "llama3_8b": 32, "vit_b16": 12}
LOOKED_UP = {
    "bert_base": (512 + 2) * 768,  # positions and the two segments
    "bert_large": (512 + 2) * 1024,
    "gpt2": 1024 * 768,  # positions
    "llama3_8b": 0,  # positions are rotated in, not looked up
    "vit_b16": (197 + 1) * 768,  # positions and the class token
}
"""Parameters that no row of a suite works with: they are added to what it embeds."""
ROWS = {
    "bert_base": {"": 13, "/unfused": 3, "/fused": 1, "/optional": 1},
    "bert_large": {"": 13, "/unfused": 3, "/fused": 1, "/optional": 1},
    "gpt2": {"": 11, "/unfused": 3},
    "llama3_8b": {"": 17, "/unfused": 3, "/fused": 2},
    "vit_b16": {"": 13, "/unfused": 3, "/fused": 1},
}
"""Rows of each pass, and of what may take the place of some of them."""


def rows(name: str, part: str) -> list[SuiteProblem]:
    return [one for one in load_suite(name).problems if one.part == part]


def flops(problems: list[SuiteProblem], *names: str) -> int:
    """Operations of these ops' problems, each as often as it occurs."""
    return sum(one.count * OPS[one.op](**one.params).flops("forward") for one in problems if one.op in names)


def six_digits(count: int) -> float:
    return float(f"{count / 1e9:.6g}")


def number(problem: SuiteProblem, name: str) -> int:
    return int(problem.params[name] or 0)


def weights(problem: SuiteProblem, *, bias: bool) -> int:
    """Parameters of a row in the place where it occurs."""
    match problem.op:
        case "matmul":
            return (number(problem, "k") + bias) * number(problem, "n")
        case "conv2d":
            taps = number(problem, "c") * number(problem, "r") * number(problem, "s")
            return (taps + bias) * number(problem, "k")
        case "embedding":
            return number(problem, "vocab") * number(problem, "dim")
        case "layer_norm":
            return 2 * number(problem, "cols")
        case "rms_norm":
            return number(problem, "cols")
    return 0


@pytest.mark.parametrize(("name", "part"), EVERY)
def test_a_pass_has_the_published_networks_operations(name: str, part: str) -> None:
    of_pass = rows(name, part)
    counted = [six_digits(flops(of_pass, *names)) for names in (*([one] for one in PRODUCTS), PRODUCTS)]
    assert counted == [*PASSES[name][part]]


@pytest.mark.parametrize("name", PASSES)
def test_what_a_suite_states_is_what_its_passes_come_to(name: str) -> None:
    counted = {f"{part}_gflop": six_digits(flops(rows(name, part), *PRODUCTS)) for part in PASSES[name]}
    assert load_suite(name).totals == {"parameters": PARAMETERS[name], **counted}


@pytest.mark.parametrize(("name", "part"), EVERY)
def test_a_pass_works_with_every_parameter_of_the_released_checkpoint(name: str, part: str) -> None:
    tied = {"lm_head"} if name == "gpt2" else set()  # its output shares the table of the input
    used = [one for one in rows(name, part) if one.layer not in tied]
    in_rows = sum(one.count * weights(one, bias=name != "llama3_8b") for one in used)
    assert in_rows + LOOKED_UP[name] == PARAMETERS[name]


@pytest.mark.parametrize("name", PASSES)
def test_the_passes_stand_apart_from_what_may_take_the_place_of_their_rows(name: str) -> None:
    counted = Counter(one.part for one in load_suite(name).problems)
    assert counted == {
        f"{part}{place}": count for part in PASSES[name] for place, count in ROWS[name].items()
    }


@pytest.mark.parametrize(("name", "part"), EVERY)
def test_each_block_has_one_attention_and_its_three_pieces_have_its_operations(name: str, part: str) -> None:
    (attention,) = (one for one in rows(name, part) if one.op == "attention")
    pieces = {one.layer: one for one in rows(name, f"{part}/unfused")}
    assert set(pieces) == {"attn_scores", "attn_softmax", "attn_values"}
    assert {attention.count, *(one.count for one in pieces.values())} == {BLOCKS[name]}
    assert flops(list(pieces.values()), "matmul") == flops([attention], "attention")
    scores, softmax = pieces["attn_scores"], pieces["attn_softmax"]
    assert scores.params["trans_b"] is True  # the keys are stored as the queries are
    assert number(scores, "batch") * number(scores, "m") == number(softmax, "rows")
    assert number(scores, "n") == number(softmax, "cols")


@pytest.mark.parametrize(("name", "part"), [(name, part) for name, part in EVERY if name != "gpt2"])
def test_projections_in_one_product_have_the_operations_of_the_single_ones(name: str, part: str) -> None:
    fused = {one.layer: flops([one], "matmul") for one in rows(name, f"{part}/fused")}
    single = {one.layer: flops([one], "matmul") for one in rows(name, part)}
    assert fused.pop("qkv_fused") == single["q_proj"] + single["k_proj"] + single["v_proj"]
    if name == "llama3_8b":
        assert fused.pop("gate_up_fused") == single["ffn_gate"] + single["ffn_up"]
    assert not fused


@pytest.mark.parametrize(("name", "part"), EVERY)
def test_attention_is_causal_where_a_decoder_sees_several_tokens_at_once(name: str, part: str) -> None:
    (attention,) = (one for one in rows(name, part) if one.op == "attention")
    assert attention.params.get("causal", False) is part.startswith(("train", "prefill"))
    assert attention.params.get("kv_heads") == (8 if name == "llama3_8b" else None)


def test_decoding_takes_one_token_of_each_sequence_after_those_that_are_cached() -> None:
    (attention,) = (one for one in rows("llama3_8b", "decode_b32_kv2048") if one.op == "attention")
    assert {key: attention.params[key] for key in ("batch", "seq_q", "seq_k")} == {
        "batch": 32,
        "seq_q": 1,
        "seq_k": 2048,
    }


def test_a_gated_network_multiplies_the_activation_and_rotates_queries_and_keys() -> None:
    elementwise = {
        one.layer: (one.op, one.count, number(one, "n"))
        for one in rows("llama3_8b", "prefill_b1_s2048")
        if one.op in ("silu", "multiply", "add")
    }
    rotated, inner = 2048 * (32 + 8) * 128, 2048 * 14336
    assert elementwise == {
        "rope_product": ("multiply", 2 * 32, rotated),  # by the cosine and by the sine
        "rope_sum": ("add", 32, rotated),
        "silu": ("silu", 32, inner),
        "gate_product": ("multiply", 32, inner),
        "residual_add": ("add", 2 * 32, 2048 * 4096),
    }


def test_the_output_over_the_vocabulary_is_of_the_last_token_where_a_text_is_only_read() -> None:
    suite = load_suite("llama3_8b")
    assert {one.part: number(one, "m") for one in suite.problems if one.layer == "lm_head"} == {
        "train_b1_s8192": 8192,
        "prefill_b1_s2048": 1,
        "prefill_b4_s2048": 4,
        "decode_b1_kv2048": 1,
        "decode_b32_kv2048": 32,
    }
