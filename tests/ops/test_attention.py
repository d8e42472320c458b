from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_strategies import attentions

from dlbench.errors import ProblemError
from dlbench.ops import attention
from dlbench.ops.attention import Attention
from dlbench.ops.dtypes import FLOATS, Array, rounded
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem
from dlbench.ops.tolerance import tolerance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.nn.functional import scaled_dot_product_attention
    from torch.utils.flop_counter import FlopCounterMode

LONG = Attention(batch=2, heads=2, seq_q=50, seq_k=60, dim=16)


def given_and_answer(op: Attention) -> tuple[dict[str, Array], Array]:
    inputs = Problem(op, "float64").inputs()
    return inputs, op.reference("forward", inputs)["o"]


def test_attention_of_a_worked_example() -> None:
    """Scores of ln 3 and 0 give weights of 3/4 and 1/4."""
    op = Attention(seq_q=1, seq_k=2, dim=1)
    q, k, v = (np.array(values).reshape(1, 1, -1, 1) for values in ([1.0], [np.log(3.0), 0.0], [4.0, 8.0]))
    assert op.reference("forward", {"q": q, "k": k, "v": v})["o"].item() == pytest.approx(5.0)


@given(attentions())
def test_the_reference_is_torchs(op: Attention) -> None:
    inputs, o = given_and_answer(op)
    q, k, v = (torch.from_numpy(inputs[name]) for name in ("q", "k", "v"))
    expected = scaled_dot_product_attention(q, k, v, is_causal=op.causal)
    np.testing.assert_allclose(o, expected.numpy(), rtol=1e-10, atol=1e-12)


@given(attentions())
def test_flops_agree_with_torch_which_counts_a_causal_one_in_full(op: Attention) -> None:
    q, k, v = (torch.empty(shape, device="meta") for shape in op.inputs("forward").values())
    with FlopCounterMode(display=False) as counter:
        scaled_dot_product_attention(q, k, v, is_causal=op.causal)
    assert op.flops("forward") == counter.get_total_flops()


@given(attentions())
def test_shapes_are_those_that_are_declared(op: Attention) -> None:
    inputs, o = given_and_answer(op)
    assert {name: values.shape for name, values in inputs.items()} == op.inputs("forward")
    assert o.shape == op.outputs("forward")["o"]


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


def test_traffic_is_each_tensor_once() -> None:
    op = Attention(batch=2, heads=3, seq_q=5, seq_k=7, dim=4)
    assert op.traffic("forward", 2) == 2 * 2 * 3 * 4 * (5 + 7 + 7 + 5)


def test_the_longest_sums_are_those_of_a_score_and_of_an_output() -> None:
    assert Attention(seq_q=5, seq_k=7, dim=4).reduction_length("forward") == 11


@given(attentions())
def test_single_outputs_equal_the_whole_reference(op: Attention) -> None:
    inputs, o = given_and_answer(op)
    single = op.reference_at("forward", inputs, "o", np.arange(o.size))
    np.testing.assert_allclose(single, o.ravel(), rtol=1e-12, atol=1e-12)


@given(attentions(), st.data())
def test_the_projection_agrees_on_a_right_answer_and_on_no_wrong_one(
    op: Attention, data: st.DataObject
) -> None:
    inputs, o = given_and_answer(op)
    wrong = o.copy()
    row, column = (data.draw(st.integers(0, extent - 1)) for extent in (op.seq_q, op.dim))
    wrong[:, :, row, column] += 1  # of every head, since one of them is drawn
    right = op.projection("forward", inputs, {"o": o}, np.random.default_rng(0))
    bad = op.projection("forward", inputs, {"o": wrong}, np.random.default_rng(0))
    assert right is not None
    assert bad is not None
    np.testing.assert_allclose(*right, rtol=1e-11, atol=1e-11)
    assert np.abs(bad[0] - bad[1]).max() == pytest.approx(1)


def test_a_head_in_parts_is_the_same_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    causal = Attention(seq_q=11, seq_k=11, dim=4, causal=True)
    inputs, whole = given_and_answer(causal)
    monkeypatch.setattr(attention, "CHUNK", 30)  # two queries of eleven keys at a time
    np.testing.assert_allclose(causal.reference("forward", inputs)["o"], whole, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_the_nearest_answer_in_the_dtype_passes(dtype: str, data: Distribution) -> None:
    problem = Problem(LONG, dtype, data=data)
    o = LONG.reference("forward", problem.inputs())["o"]
    rms = float(np.sqrt(np.mean(o**2))) or 1.0
    assert np.abs(rounded(o, dtype) - o).max() / rms <= tolerance(problem) / 2


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
    ],
)
def test_the_label_is_batch_heads_queries_keys_and_size(op: Attention, label: str) -> None:
    assert op.label() == label


@given(attentions(), attentions())
def test_different_attentions_have_different_labels(one: Attention, other: Attention) -> None:
    assert (one.label() == other.label()) == (one == other)
