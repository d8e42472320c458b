from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_strategies import attentions

from dlbench.errors import ProblemError
from dlbench.ops import attention_reference
from dlbench.ops.attention import Attention
from dlbench.ops.dtypes import FLOATS, Array, rounded
from dlbench.ops.op import DISTRIBUTIONS, Direction, Distribution
from dlbench.ops.problem import Problem
from dlbench.ops.tolerance import tolerance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.nn.functional import scaled_dot_product_attention
    from torch.utils import flop_counter
    from torch.utils.flop_counter import FlopCounterMode

COUNTED: Any = flop_counter  # its formulas have no types
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
LONG = Attention(batch=2, heads=2, seq_q=50, seq_k=60, dim=16)
CAUSAL = Attention(batch=2, heads=4, kv_heads=2, seq_q=50, seq_k=50, dim=16, causal=True)


def given_and_answer(op: Attention) -> tuple[dict[str, Array], Array]:
    inputs, outputs = given_and_answers(op, "forward")
    return inputs, outputs["o"]


def given_and_answers(op: Attention, direction: Direction) -> tuple[dict[str, Array], dict[str, Array]]:
    inputs = Problem(op, "float64", direction).inputs()
    return inputs, op.reference(direction, inputs)


def error(values: Array, reference: Array) -> float:
    return float(np.abs(values - reference).max() / (np.sqrt(np.mean(reference**2)) or 1.0))


def test_attention_of_a_worked_example() -> None:
    """Scores of ln 3 and 0 give weights of 3/4 and 1/4."""
    op = Attention(seq_q=1, seq_k=2, dim=1)
    q, k, v = (np.array(values).reshape(1, 1, -1, 1) for values in ([1.0], [np.log(3.0), 0.0], [4.0, 8.0]))
    assert op.reference("forward", {"q": q, "k": k, "v": v})["o"].item() == pytest.approx(5.0)


def torchs(op: Attention, inputs: dict[str, Array]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """torch's output, and the leaves that its gradients are of."""
    q, k, v = leaves = [torch.from_numpy(inputs[name]).requires_grad_() for name in ("q", "k", "v")]
    return scaled_dot_product_attention(q, k, v, is_causal=op.causal, enable_gqa=op.group > 1), leaves


@given(attentions())
def test_the_reference_is_torchs(op: Attention) -> None:
    inputs, o = given_and_answer(op)
    np.testing.assert_allclose(o, torchs(op, inputs)[0].detach().numpy(), rtol=1e-10, atol=1e-12)


@given(attentions())
def test_the_gradients_are_those_of_torchs_autograd(op: Attention) -> None:
    inputs, found = given_and_answers(op, "backward")
    o, leaves = torchs(op, inputs)
    expected = torch.autograd.grad(o, leaves, torch.from_numpy(inputs["do"]))
    for name, gradient in zip(("dq", "dk", "dv"), expected, strict=True):
        np.testing.assert_allclose(found[name], gradient.numpy(), rtol=1e-9, atol=1e-11)


@given(attentions())
def test_flops_agree_with_torch_which_counts_a_causal_one_in_full(op: Attention) -> None:
    q, k, v = (torch.empty(shape, device="meta") for shape in op.inputs("forward").values())
    with FlopCounterMode(display=False) as counter:
        scaled_dot_product_attention(q, k, v, is_causal=op.causal, enable_gqa=op.group > 1)
    assert (
        op.flops("forward") == counter.get_total_flops() == COUNTED.sdpa_flop_count(q.shape, k.shape, v.shape)
    )


@given(attentions())
def test_flops_of_the_gradients_agree_with_torch(op: Attention) -> None:
    q, k, v, do = op.inputs("backward").values()
    assert op.flops("backward") == COUNTED.sdpa_backward_flop_count(do, q, k, v)


def test_flops_of_a_fused_gradient_agree_with_torchs_counter() -> None:
    """The operator of the memory-efficient kernels, on shapes alone."""
    op = Attention(batch=2, heads=3, seq_q=16, seq_k=32, dim=8)
    q, k, v, do = (torch.empty(shape, device="meta") for shape in op.inputs("backward").values())
    sums, seed = torch.empty(2, 3, 32, device="meta"), torch.empty((), device="meta", dtype=torch.int64)
    backward = torch.ops.aten._scaled_dot_product_efficient_attention_backward
    with FlopCounterMode(display=False) as counter:
        backward(do, q, k, v, None, torch.empty_like(q), sums, seed, seed, 0.0, [True, True, True, False])
    assert op.flops("backward") == counter.get_total_flops()


@given(attentions())
def test_shapes_are_those_that_are_declared(op: Attention) -> None:
    for direction in DIRECTIONS:
        inputs, found = given_and_answers(op, direction)
        assert {name: values.shape for name, values in inputs.items()} == op.inputs(direction)
        assert {name: values.shape for name, values in found.items()} == op.outputs(direction)


def test_a_causal_query_does_not_see_the_keys_after_it() -> None:
    op = Attention(seq_q=4, seq_k=4, dim=3, causal=True)
    inputs, o = given_and_answer(op)
    assert np.array_equal(o[0, 0, 0], inputs["v"][0, 0, 0])
    later = inputs | {"v": inputs["v"] + np.array([0, 0, 1, 1]).reshape(4, 1)}
    moved = op.reference("forward", later)["o"] != o
    assert moved.any(axis=-1).tolist() == [[[False, False, True, True]]]


def test_causal_needs_as_many_queries_as_keys() -> None:
    with pytest.raises(ProblemError) as caught:
        Attention(seq_q=4, seq_k=5, dim=8, causal=True)
    assert str(caught.value) == (
        "attention 1×1 heads of 4×5×8 causal: 4 queries and 5 keys; causal needs as many of both"
    )


def test_heads_of_queries_divide_among_those_of_keys() -> None:
    with pytest.raises(ProblemError) as caught:
        Attention(heads=6, kv_heads=4, seq_q=4, seq_k=5, dim=8)
    assert str(caught.value) == (
        "attention 1×6/4 heads of 4×5×8: 6 heads of queries do not divide among 4 heads of keys"
    )


def test_each_head_of_keys_serves_heads_of_queries_that_follow_one_another() -> None:
    grouped = Attention(heads=4, kv_heads=2, seq_q=3, seq_k=5, dim=2)
    single = Attention(heads=4, seq_q=3, seq_k=5, dim=2)
    inputs, o = given_and_answer(grouped)
    spread = {name: values if name == "q" else values[:, [0, 0, 1, 1]] for name, values in inputs.items()}
    np.testing.assert_allclose(o, single.reference("forward", spread)["o"], rtol=1e-12)


def test_a_problem_without_shared_keys_has_the_key_that_it_had_before_there_were_any() -> None:
    params: dict[str, Any] = {"batch": 2, "heads": 3, "seq_q": 5, "seq_k": 7, "dim": 4, "causal": False}
    for op in (Attention(**params), Attention(**params, kv_heads=3)):
        assert json.loads(Problem(op).params) == params
        assert Problem(op).key == Problem(Attention(**params)).key
    shared = Problem(Attention(**params, kv_heads=1))
    assert json.loads(shared.params) == params | {"kv_heads": 1}


def test_traffic_is_each_tensor_once() -> None:
    op = Attention(batch=2, heads=3, seq_q=5, seq_k=7, dim=4)
    assert op.traffic("forward", 2) == 2 * 2 * 3 * 4 * (5 + 7 + 7 + 5)
    assert op.traffic("backward", 2) == 2 * 2 * 3 * 4 * (5 + 7 + 7 + 5 + 5 + 7 + 7)


def test_shared_keys_are_read_once() -> None:
    op = Attention(batch=2, heads=6, kv_heads=2, seq_q=5, seq_k=7, dim=4)
    assert op.traffic("forward", 2) == 2 * 2 * 4 * (6 * 5 + 2 * 7 + 2 * 7 + 6 * 5)


def test_the_longest_sums_are_those_of_a_score_and_of_an_output() -> None:
    assert Attention(seq_q=5, seq_k=7, dim=4).reduction_length("forward") == 11
    assert Attention(seq_q=5, seq_k=7, dim=4).reduction_length("backward") == 4 + 4 + 7
    assert Attention(heads=6, kv_heads=2, seq_q=5, seq_k=7, dim=4).reduction_length("backward") == 4 + 4 + 15


@given(attentions(), st.sampled_from(DIRECTIONS))
def test_single_outputs_equal_the_whole_reference(op: Attention, direction: Direction) -> None:
    inputs, found = given_and_answers(op, direction)
    for name, values in found.items():
        single = op.reference_at(direction, inputs, name, np.arange(values.size))
        np.testing.assert_allclose(single, values.ravel(), rtol=1e-11, atol=1e-12)


@given(attentions(), st.sampled_from(("o", "dq", "dk", "dv")), st.data())
def test_the_projection_agrees_on_a_right_answer_and_on_no_wrong_one(
    op: Attention, name: str, data: st.DataObject
) -> None:
    direction: Direction = "forward" if name == "o" else "backward"
    inputs, found = given_and_answers(op, direction)
    values = found[name]
    wrong = values.copy()
    row, column = (data.draw(st.integers(0, extent - 1)) for extent in values.shape[2:])
    wrong[:, :, row, column] += 1  # of every head, since one of them is drawn
    right = op.projection(direction, inputs, {name: values}, np.random.default_rng(0))
    bad = op.projection(direction, inputs, {name: wrong}, np.random.default_rng(0))
    assert right is not None
    assert bad is not None
    np.testing.assert_allclose(*right, rtol=1e-10, atol=1e-10)
    assert np.abs(bad[0] - bad[1]).max() == pytest.approx(1)


def test_a_head_in_parts_is_the_same_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    causal = Attention(heads=2, kv_heads=1, seq_q=11, seq_k=11, dim=4, causal=True)
    before = {direction: given_and_answers(causal, direction) for direction in DIRECTIONS}
    monkeypatch.setattr(attention_reference, "CHUNK", 30)  # two queries of eleven keys at a time
    for direction, (inputs, whole) in before.items():
        for name, values in causal.reference(direction, inputs).items():
            np.testing.assert_allclose(values, whole[name], rtol=1e-12, atol=1e-12)
            single = causal.reference_at(direction, inputs, name, np.arange(values.size))
            np.testing.assert_allclose(single, whole[name].ravel(), rtol=1e-11, atol=1e-12)
            pair = causal.projection(direction, inputs, {name: values}, np.random.default_rng(0))
            assert pair is not None
            np.testing.assert_allclose(*pair, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("data", DISTRIBUTIONS)
@pytest.mark.parametrize("op", [LONG, CAUSAL], ids=str)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_nearest_answer_in_the_dtype_passes(
    op: Attention, direction: Direction, dtype: str, data: Distribution
) -> None:
    problem = Problem(op, dtype, direction, data)
    for values in op.reference(direction, problem.inputs()).values():
        assert error(rounded(values, dtype), values) <= tolerance(problem) / 2


def test_the_nearest_answer_passes_over_a_long_causal_sequence_too() -> None:
    """Its first outputs, of one key each, stand out of the mean of the others."""
    op = Attention(seq_q=2048, seq_k=2048, dim=32, causal=True)
    problem = Problem(op, "bfloat16")
    o = op.reference("forward", problem.inputs())["o"]
    assert error(rounded(o, "bfloat16"), o) <= tolerance(problem) / 2


@pytest.mark.parametrize(
    "op",
    [
        Attention(heads=4, seq_q=256, seq_k=256, dim=32),
        Attention(heads=4, seq_q=1, seq_k=2048, dim=32),
        Attention(heads=4, seq_q=512, seq_k=32, dim=32),
        Attention(heads=4, kv_heads=1, seq_q=256, seq_k=256, dim=32, causal=True),
    ],
    ids=Attention.label,
)
def test_the_crest_is_about_that_of_normal_data(op: Attention) -> None:
    """Within what the tolerance leaves for it, a factor of 16."""
    for direction in DIRECTIONS:
        _, found = given_and_answers(op, direction)
        stands_out = [
            np.abs(values).max() / np.sqrt(np.mean(values**2)) / np.sqrt(2 * np.log(values.size))
            for values in found.values()
        ]
        assert 0.4 * max(stands_out) <= op.crest(direction) <= 3 * max(stands_out)


def test_the_roundings_are_those_of_the_steps_one_by_one() -> None:
    assert [LONG.roundings(direction) for direction in DIRECTIONS] == [3, 4]
    assert [CAUSAL.roundings(direction) for direction in DIRECTIONS] == [3, 5]


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_causal_mask_that_is_off_by_one_is_caught(dtype: str) -> None:
    """Query i would see the keys up to i + 1: the last output alone is right."""
    for direction in DIRECTIONS:
        problem = Problem(CAUSAL, dtype, direction)
        inputs = problem.inputs()
        right = CAUSAL.reference(direction, inputs)
        shifted = {
            name: np.roll(values, 1, axis=2) if name in ("q", "do") else values
            for name, values in inputs.items()
        }
        wrong = CAUSAL.reference(direction, shifted)
        wrong = {
            name: np.roll(one, -1, axis=2) if name in ("o", "dq") else one for name, one in wrong.items()
        }
        worst = max(error(wrong[name], values) for name, values in right.items())
        assert worst > tolerance(problem)


@pytest.mark.parametrize("dtype", FLOATS)
def test_keys_dealt_out_in_turn_instead_of_to_neighbours_are_caught(dtype: str) -> None:
    problem = Problem(CAUSAL, dtype)
    inputs = problem.inputs()
    order = [0, 2, 1, 3]
    dealt = CAUSAL.reference("forward", inputs | {"q": inputs["q"][:, order]})["o"][:, order]
    assert error(dealt, CAUSAL.reference("forward", inputs)["o"]) > tolerance(problem)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_gradient_without_the_softmaxs_mean_is_caught(dtype: str) -> None:
    op = Attention(seq_q=20, seq_k=30, dim=8)
    problem = Problem(op, dtype, "backward")
    inputs = problem.inputs()
    q, k, v, do = (values[0, 0] for values in inputs.values())
    powers = np.exp(op.scale * q @ k.T)
    p = powers / powers.sum(axis=1, keepdims=True)
    wrong = op.scale * (p * (do @ v.T)) @ k
    assert error(wrong, op.reference("backward", inputs)["dq"][0, 0]) > 1000 * tolerance(problem)


def test_uniform_keys_and_values_of_the_gradients_are_centred() -> None:
    for dtype in ("float32", "bfloat16"):
        inputs = Problem(LONG, dtype, "backward", "uniform").inputs()
        for name, values in inputs.items():
            assert abs(values.mean()) < 0.05 if name in ("k", "v") else abs(values.mean() - 0.5) < 0.05
            assert np.array_equal(rounded(values, dtype), values)


def test_an_answer_that_misses_the_last_key_is_caught_in_every_dtype() -> None:
    shorter = LONG.model_copy(update={"seq_k": LONG.seq_k - 1})
    for dtype in FLOATS:
        problem = Problem(LONG, dtype)
        inputs = problem.inputs()
        o = LONG.reference("forward", inputs)["o"]
        fewer = {name: values if name == "q" else values[:, :, :-1] for name, values in inputs.items()}
        error = np.abs(shorter.reference("forward", fewer)["o"] - o).max() / np.sqrt(np.mean(o**2))
        assert error > 5 * tolerance(problem)


@pytest.mark.parametrize("dtype", ["float16", "float32", "bfloat16"])
def test_whole_numbers_give_scores_that_spread_like_those_of_normal_data(dtype: str) -> None:
    inputs = Problem(LONG, dtype, data="integers").inputs()
    assert np.array_equal(rounded(inputs["q"], dtype), inputs["q"])
    assert np.array_equal(inputs["q"] * 32, np.round(inputs["q"] * 32))
    scores = LONG.scale * inputs["q"] @ inputs["k"].swapaxes(-1, -2)
    assert 0.5 < scores.std() < 1.0


@pytest.mark.parametrize(
    ("op", "label"),
    [
        (Attention(seq_q=64, seq_k=128, dim=32), "1×1 heads of 64×128×32"),
        (
            Attention(batch=8, heads=16, seq_q=64, seq_k=64, dim=32, causal=True),
            "8×16 heads of 64×64×32 causal",
        ),
        (Attention(batch=8, heads=16, kv_heads=4, seq_q=64, seq_k=64, dim=32), "8×16/4 heads of 64×64×32"),
        (Attention(heads=16, kv_heads=16, seq_q=64, seq_k=64, dim=32), "1×16 heads of 64×64×32"),
    ],
)
def test_the_label_is_batch_heads_queries_keys_and_size(op: Attention, label: str) -> None:
    assert op.label() == label


@given(attentions(), attentions())
def test_different_attentions_have_different_labels(one: Attention, other: Attention) -> None:
    assert (one.label() == other.label()) == (one == other)
