"""The blocks are torch's encoder layer, and Llama's as its papers write it, with complex numbers for the positions."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from blocks import decoded, encoded, encoder
from checked import check
from descent import tensors
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import FLOATS, Array, rounded
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem
from dlbench.ops.tolerance import tolerance
from dlbench.ops.transformer import BertBlock, LlamaBlock
from dlbench.runner.verify import WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.utils.flop_counter import FlopCounterMode

few = st.integers(1, 3)
Block = BertBlock | LlamaBlock
Given = Mapping[str, Array]


@st.composite
def berts(draw: st.DrawFn) -> BertBlock:
    """Every parameter varies; a layer norm over one number would be its bias alone."""
    heads, dim = draw(few), draw(few)
    return BertBlock(
        batch=draw(few), seq=draw(st.integers(1, 5)), hidden=heads * (dim + 1), heads=heads, ffn=draw(few)
    )


@st.composite
def llamas(draw: st.DrawFn) -> LlamaBlock:
    """Every parameter varies; heads are of an even size."""
    shared, group, half = draw(few), draw(few), draw(few)
    return LlamaBlock(
        batch=draw(few),
        seq=draw(st.integers(1, 5)),
        hidden=shared * group * 2 * half,
        heads=shared * group,
        kv_heads=draw(st.sampled_from([shared, None])),
        ffn=draw(few),
    )


def inputs(op: Block) -> dict[str, Array]:
    return Problem(op, "float64").inputs()


def answer(op: Block, given: Given) -> Array:
    return op.reference("forward", given)["y"]


@settings(max_examples=40)
@given(berts())
def test_berts_block_is_torchs_encoder_layer(op: BertBlock) -> None:
    given = inputs(op)
    np.testing.assert_allclose(answer(op, given), encoded(op, given), rtol=1e-9, atol=1e-11)


@settings(max_examples=40)
@given(llamas())
def test_llamas_block_is_its_equations(op: LlamaBlock) -> None:
    given = inputs(op)
    np.testing.assert_allclose(answer(op, given), decoded(op, tensors(given)), rtol=1e-9, atol=1e-11)


@settings(max_examples=20)
@given(berts())
def test_berts_operations_are_those_that_torch_counts(op: BertBlock) -> None:
    layer = encoder(op, device="meta")
    x = torch.empty(op.x_shape, dtype=torch.float64, device="meta")
    with FlopCounterMode(display=False) as counter:
        layer(x)
    assert op.flops("forward") == counter.get_total_flops()


@settings(max_examples=20)
@given(llamas())
def test_llamas_operations_are_those_that_torch_counts(op: LlamaBlock) -> None:
    shapes = op.inputs("forward")
    given = {name: torch.empty(shape, dtype=torch.float64, device="meta") for name, shape in shapes.items()}
    with FlopCounterMode(display=False) as counter:
        decoded(op, given)
    assert op.flops("forward") == counter.get_total_flops()


@given(berts() | llamas())
def test_shapes_are_those_that_are_declared(op: Block) -> None:
    given = inputs(op)
    assert {name: values.shape for name, values in given.items()} == op.inputs("forward")
    assert {"y": answer(op, given).shape} == op.outputs("forward")


def test_the_published_blocks_have_their_published_parameters() -> None:
    assert BertBlock(seq=1, hidden=768, heads=12, ffn=3072).parameters() == 7_087_872
    llama = LlamaBlock(seq=1, hidden=4096, heads=32, kv_heads=8, ffn=14336)
    assert llama.parameters() == 218_112_000
    assert 32 * llama.parameters() + 2 * 128_256 * 4096 + 4096 == 8_030_261_248  # all of Llama 3 8B


def test_counts_of_a_small_block_of_bert() -> None:
    op = BertBlock(batch=2, seq=5, hidden=12, heads=3, ffn=7)
    products = 12 * 36 + 12 * 12 + 12 * 7 + 7 * 12
    assert op.flops("forward") == 2 * 2 * 5 * products + 2 * 2 * (2 * 3 * 5 * 5 * 4)
    assert op.parameters() == products + 36 + 12 + 7 + 12 + 4 * 12
    assert op.activations() == 2 * 5 * (36 + 12 + 7 + 12)
    assert op.traffic("forward", 2) == 2 * (2 * 2 * 5 * 12 + op.parameters())
    assert op.label() == "2×5×12, 3 heads, ffn 7"
    assert op.reduction_length("forward") == (12 + 12 + 12 + 7) + 4 + 5 + 2 * 12


def test_counts_of_a_small_block_of_llama() -> None:
    op = LlamaBlock(batch=2, seq=5, hidden=24, heads=6, kv_heads=2, ffn=7)
    products = 24 * 24 + 2 * 24 * 8 + 24 * 24 + 2 * 24 * 7 + 7 * 24
    assert op.flops("forward") == 2 * 2 * 5 * products + 2 * 2 * (2 * 6 * 5 * 5 * 4)
    assert op.parameters() == products + 2 * 24
    assert op.activations() == 2 * 5 * (24 + 8 + 8 + 24 + 7 + 7 + 24)
    assert op.traffic("forward", 2) == 2 * (2 * 2 * 5 * 24 + op.parameters())
    assert op.label() == "2×5×24, 6 heads over 2, ffn 7"
    assert LlamaBlock(seq=3, hidden=8, heads=2, ffn=5).label() == "1×3×8, 2 heads, ffn 5"


def test_as_many_heads_of_keys_as_of_queries_is_the_default() -> None:
    sizes = {"seq": 3, "hidden": 8, "heads": 2, "ffn": 5}
    whole, default = LlamaBlock(kv_heads=2, **sizes), LlamaBlock(**sizes)
    assert Problem(whole).key == Problem(default).key
    assert LlamaBlock(kv_heads=1, **sizes) != default


@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 40), st.integers(0, 99))
def test_scores_depend_on_how_far_apart_positions_are_alone(
    seq: int, half: int, shift: int, seed: int
) -> None:
    """Queries and keys all turned by so many positions more have the scores that they had."""
    drawn = np.random.default_rng(seed).standard_normal((2, seq, 2 * half))

    def scores(first: int) -> Array:
        later = LlamaBlock(seq=first + seq, hidden=2 * half, heads=1, ffn=1)
        padded = np.concatenate([np.zeros((2, first, 2 * half)), drawn], axis=1)
        q, k = later._turned(padded)[:, first:]
        return np.asarray(q @ k.T)

    np.testing.assert_allclose(scores(shift), scores(0), rtol=1e-9, atol=1e-12)


def test_the_first_position_is_not_turned_and_the_second_by_one_radian() -> None:
    cos, sin = LlamaBlock(seq=2, hidden=4, heads=1, ffn=1).angles()
    slow = 500_000**-0.5
    turned = np.array([[0, 0], [1, slow]])
    np.testing.assert_allclose(cos, np.cos(turned), rtol=1e-15)
    np.testing.assert_allclose(sin, np.sin(turned), rtol=1e-15)


@given(berts(), st.randoms())
def test_berts_block_knows_no_positions(op: BertBlock, random: Any) -> None:
    given, order = inputs(op), list(range(op.seq))
    random.shuffle(order)
    mixed = answer(op, {**given, "x": given["x"][:, order]})
    np.testing.assert_allclose(mixed, answer(op, given)[:, order], rtol=1e-9, atol=1e-11)


def test_llamas_last_token_sees_in_which_order_the_others_came() -> None:
    op = LlamaBlock(seq=5, hidden=8, heads=2, ffn=5)
    given = inputs(op)
    y, other = answer(op, given), answer(op, {**given, "x": given["x"][:, [1, 0, 2, 3, 4]]})
    assert np.abs(y - other)[0, 4].max() > 1e-3


def test_llamas_tokens_do_not_see_those_after_them() -> None:
    op = LlamaBlock(seq=5, hidden=8, heads=2, ffn=5)
    given = inputs(op)
    later = given["x"].copy()
    later[:, 3:] += 1
    moved = (answer(op, {**given, "x": later}) != answer(op, given)).any(axis=-1)
    assert moved.tolist() == [[False, False, False, True, True]]


def test_heads_that_do_not_divide_the_numbers_are_refused() -> None:
    with pytest.raises(ProblemError) as caught:
        BertBlock(seq=5, hidden=12, heads=5, ffn=7)
    assert str(caught.value) == "bert_block 1×5×12, 5 heads, ffn 7: 5 heads do not divide 12"


@pytest.mark.parametrize("heads", [5, 4])
def test_llamas_heads_are_of_an_even_size(heads: int) -> None:
    with pytest.raises(ProblemError, match=rf"{heads} heads of an even size do not divide 12$"):
        LlamaBlock(seq=5, hidden=12, heads=heads, ffn=7)


def test_heads_of_keys_that_do_not_divide_those_of_queries_are_refused() -> None:
    with pytest.raises(ProblemError) as caught:
        LlamaBlock(seq=5, hidden=24, heads=6, kv_heads=4, ffn=7)
    assert str(caught.value) == (
        "llama_block 1×5×24, 6 heads over 4, ffn 7: 4 heads of keys do not divide 6 heads"
    )


def test_no_heads_of_keys_at_all_are_refused() -> None:
    with pytest.raises(ValidationError, match="kv_heads"):
        LlamaBlock(seq=5, hidden=24, heads=6, kv_heads=0, ffn=7)


BERT = BertBlock(seq=24, hidden=32, heads=4, ffn=64)
LLAMA = LlamaBlock(seq=24, hidden=32, heads=4, kv_heads=2, ffn=48)


@pytest.mark.parametrize("op", [BERT, LLAMA])
@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_the_nearest_answer_in_the_dtype_passes(op: Block, data: Distribution) -> None:
    for dtype in FLOATS:
        problem = Problem(op, dtype, data=data)
        y = answer(op, problem.inputs())
        rms = float(np.sqrt(np.mean(y**2))) or 1.0
        assert np.abs(rounded(y, dtype) - y).max() / rms <= tolerance(problem) / 2


def test_scores_of_whole_numbers_spread_no_more_than_those_of_normal_data() -> None:
    op = BertBlock(seq=64, hidden=64, heads=1, ffn=1)
    for data, least, most in (("normal", 0.8, 1.5), ("integers", 0.3, 0.8)):
        given = Problem(op, data=data).inputs()  # type: ignore[arg-type]  # one of the distributions
        q, k, _ = np.split(given["x"][0] @ given["w_qkv"].T, 3, axis=-1)
        assert least < (q @ k.T / math.sqrt(op.dim)).std() < most
    assert set(np.unique(8 * given["x"])) == set(range(-8, 9))


def prepared(op: Block, compute: Callable[[Given], Any]) -> Callable[..., Any]:
    def prepare(*arrays: Any) -> Any:
        given = {
            name: array.astype(np.float64) for name, array in zip(op.inputs("forward"), arrays, strict=True)
        }
        return lambda: np.asarray(compute(given), np.float32)

    return prepare


RIGHT: dict[str, tuple[Block, Callable[[Given], Any]]] = {
    "bert": (BERT, lambda given: encoded(BERT, given)),
    "llama": (LLAMA, lambda given: decoded(LLAMA, tensors(given))),
}
WRONG: dict[str, tuple[Block, Callable[[Given], Any]]] = {
    "norms before": (BERT, lambda given: encoded(BERT, given, norm_first=True)),
    "no first bias": (BERT, lambda given: encoded(BERT, {**given, "b1": 0 * given["b1"]})),
    "k and v confused": (BERT, lambda given: encoded(BERT, {**given, "w_qkv": swapped(given["w_qkv"])})),
    "no mask": (LLAMA, lambda given: decoded(LLAMA, tensors(given), masked=False)),
    "neighbours as pairs": (LLAMA, lambda given: decoded(LLAMA, tensors(given), pairs="neighbours")),
    "heads shared in turn": (LLAMA, lambda given: decoded(LLAMA, tensors(given), interleaved=True)),
    "gate and up confused": (LLAMA, lambda given: decoded(LLAMA, tensors(crossed(given)))),
}


def swapped(w_qkv: Array) -> Array:
    q, k, v = np.split(w_qkv, 3)
    return np.concatenate([q, v, k])


def crossed(given: Given) -> Given:
    return {**given, "w_gate": given["w_up"], "w_up": given["w_gate"]}


@pytest.mark.parametrize("right", RIGHT)
def test_a_right_block_rounded_to_float32_passes(right: str) -> None:
    op, compute = RIGHT[right]
    assert check(Problem(op), prepared(op, compute)) < 1e-6


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_block_is_caught(wrong: str) -> None:
    op, compute = WRONG[wrong]
    with pytest.raises(WrongAnswerError, match="^output y is "):
        check(Problem(op), prepared(op, compute))


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_block_is_caught_in_bfloat16(wrong: str) -> None:
    op, compute = WRONG[wrong]
    problem = Problem(op, "bfloat16")
    given = problem.inputs()
    y = answer(op, given)
    error = np.abs(np.asarray(compute(given)) - y).max() / np.sqrt(np.mean(y**2))
    assert error > 1.2 * tolerance(problem)
