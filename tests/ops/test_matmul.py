from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_strategies import matmuls

from dlbench.ops.dtypes import Array
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.utils.flop_counter import FlopCounterMode


def given_and_answer(op: Matmul) -> tuple[dict[str, Array], Array]:
    inputs = Problem(op, "float64").inputs()
    return inputs, op.reference("forward", inputs)["c"]


@given(matmuls)
def test_flops_agree_with_torch(op: Matmul) -> None:
    shapes = op.inputs("forward")
    a, b = (torch.empty(shapes[name], device="meta") for name in ("a", "b"))
    with FlopCounterMode(display=False) as counter:
        torch.matmul(a.mT if op.trans_a else a, b.mT if op.trans_b else b)
    assert op.flops("forward") == counter.get_total_flops()


@given(matmuls)
def test_the_reference_is_the_textbook_sum(op: Matmul) -> None:
    inputs, c = given_and_answer(op)
    a, b = (inputs[name].reshape(op.batch, *inputs[name].shape[-2:]) for name in ("a", "b"))
    indices = f"z{'ki' if op.trans_a else 'ik'},z{'jk' if op.trans_b else 'kj'}->zij"
    np.testing.assert_allclose(c, np.einsum(indices, a, b).reshape(c.shape), rtol=1e-12, atol=1e-12)


@given(matmuls)
def test_shapes_are_those_that_are_declared(op: Matmul) -> None:
    inputs, c = given_and_answer(op)
    assert {name: values.shape for name, values in inputs.items()} == op.inputs("forward")
    assert c.shape == op.outputs("forward")["c"]


def test_only_a_batch_has_a_batch_axis() -> None:
    assert Matmul(m=2, n=3, k=4).outputs("forward") == {"c": (2, 3)}
    assert Matmul(m=2, n=3, k=4, batch=5).outputs("forward") == {"c": (5, 2, 3)}


def test_a_transposed_operand_is_stored_transposed() -> None:
    assert Matmul(m=2, n=3, k=4, trans_a=True, trans_b=True).inputs("forward") == {"a": (4, 2), "b": (3, 4)}


def test_traffic_is_each_matrix_once() -> None:
    assert Matmul(m=2, n=3, k=4, batch=5).traffic("forward", 8) == 8 * 5 * (2 * 4 + 4 * 3 + 2 * 3)


@given(matmuls)
def test_single_outputs_equal_the_whole_reference(op: Matmul) -> None:
    inputs, c = given_and_answer(op)
    single = op.reference_at("forward", inputs, "c", np.arange(c.size))
    np.testing.assert_allclose(single, c.ravel(), rtol=1e-12, atol=1e-12)


@given(matmuls, st.data())
def test_the_projection_agrees_on_a_right_answer_and_on_no_wrong_one(op: Matmul, data: st.DataObject) -> None:
    inputs, c = given_and_answer(op)
    wrong = c.copy()
    wrong.ravel()[data.draw(st.integers(0, c.size - 1))] += 1
    right = op.projection("forward", inputs, {"c": c}, np.random.default_rng(0))
    bad = op.projection("forward", inputs, {"c": wrong}, np.random.default_rng(0))
    assert right is not None
    assert bad is not None
    np.testing.assert_allclose(*right, rtol=1e-11, atol=1e-11)
    assert np.abs(bad[0] - bad[1]).max() == pytest.approx(1)


@pytest.mark.parametrize(("m", "n"), [(2, 500), (500, 2)])
def test_the_projection_sums_over_the_shorter_axis(m: int, n: int) -> None:
    op = Matmul(m=m, n=n, k=3)
    inputs, c = given_and_answer(op)
    pair = op.projection("forward", inputs, {"c": c}, np.random.default_rng(0))
    assert pair is not None
    assert pair[0].shape == pair[1].shape == (500,)


@pytest.mark.parametrize(
    ("op", "label"),
    [
        (Matmul(m=64, n=128, k=256), "64×128×256"),
        (Matmul(m=64, n=128, k=256, trans_b=True), "64×128×256 NT"),
        (Matmul(m=64, n=128, k=256, batch=8, trans_a=True), "8 of 64×128×256 TN"),
    ],
)
def test_the_label_names_what_differs_from_the_default(op: Matmul, label: str) -> None:
    assert op.label() == label


@given(matmuls, matmuls)
def test_different_products_have_different_labels(one: Matmul, other: Matmul) -> None:
    assert (one.label() == other.label()) == (one == other)
