from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench.backends import numpy
from dlbench.backends.backend import tensors_of
from dlbench.ops.dtypes import Array
from dlbench.ops.linear import Linear
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.runner import verify
from dlbench.runner.verify import Verifier, WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.nn.functional import linear
    from torch.utils.flop_counter import FlopCounterMode

small = st.integers(1, 7)
layers = st.builds(Linear, n=small, in_features=small, out_features=small, bias=st.booleans())
directions = st.sampled_from(Linear.directions)


def given_and_answer(op: Linear, direction: Direction) -> tuple[dict[str, Array], dict[str, Array]]:
    inputs = Problem(op, "float64", direction).inputs()
    return inputs, op.reference(direction, inputs)


def test_a_worked_example() -> None:
    op = Linear(n=1, in_features=2, out_features=3)
    x, w, b = (
        np.array([[1.0, 2.0]]),
        np.array([[1.0, 0.0], [0.0, 1.0], [3.0, -1.0]]),
        np.array([10.0, 20.0, 30.0]),
    )
    dy = np.array([[1.0, 10.0, 100.0]])
    assert op.reference("forward", {"x": x, "w": w, "b": b})["y"].tolist() == [[11.0, 22.0, 31.0]]
    assert op.reference("backward_data", {"dy": dy, "w": w})["dx"].tolist() == [[301.0, -90.0]]
    gradients = op.reference("backward_weight", {"x": x, "dy": dy})
    assert gradients["dw"].tolist() == [[1.0, 2.0], [10.0, 20.0], [100.0, 200.0]]
    assert gradients["db"].tolist() == [1.0, 10.0, 100.0]


@given(layers)
def test_the_reference_and_its_gradients_are_torchs(op: Linear) -> None:
    given = Problem(op, "float64").inputs()
    leaves = [torch.from_numpy(values).requires_grad_() for values in given.values()]
    y = linear(*leaves)
    dy = Problem(op, "float64", "backward_data").inputs()["dy"]
    dx, *of_weights = torch.autograd.grad(y, leaves, torch.from_numpy(dy))
    found = op.reference("forward", given) | op.reference("backward_data", {"dy": dy, "w": given["w"]})
    found |= op.reference("backward_weight", {"x": given["x"], "dy": dy})
    for one, other in zip(found.values(), (y, dx, *of_weights), strict=True):
        np.testing.assert_allclose(one, other.detach().numpy(), rtol=1e-12, atol=1e-12)


@given(layers)
def test_flops_agree_with_torch_in_every_direction(op: Linear) -> None:
    leaves = [
        torch.empty(shape, device="meta", requires_grad=True) for shape in op.inputs("forward").values()
    ]
    with FlopCounterMode(display=False) as ahead:
        y = linear(*leaves)
    with FlopCounterMode(display=False) as back:
        torch.autograd.grad(y, leaves, torch.empty_like(y))
    assert op.flops("forward") == ahead.get_total_flops()
    assert op.flops("backward_data") + op.flops("backward_weight") == back.get_total_flops()


@given(layers, directions)
def test_shapes_are_those_that_are_declared(op: Linear, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    assert {name: values.shape for name, values in inputs.items()} == op.inputs(direction)
    assert {name: values.shape for name, values in outputs.items()} == op.outputs(direction)


def test_a_layer_without_a_bias_has_no_gradient_of_one() -> None:
    op = Linear(n=2, in_features=3, out_features=4, bias=False)
    assert list(op.inputs("forward")) == ["x", "w"]
    assert list(op.outputs("backward_weight")) == ["dw"]


def test_counts_of_a_small_layer() -> None:
    op = Linear(n=2, in_features=3, out_features=4)
    assert [op.flops(direction) for direction in op.directions] == [2 * 2 * 3 * 4] * 3
    assert op.traffic("forward", 4) == 4 * (2 * 3 + 4 * 3 + 4 + 2 * 4)
    assert op.traffic("backward_data", 4) == 4 * (2 * 4 + 4 * 3 + 2 * 3)
    assert op.traffic("backward_weight", 4) == 4 * (2 * 3 + 2 * 4 + 4 * 3 + 4)
    assert [op.reduction_length(direction) for direction in op.directions] == [4, 4, 2]


@given(layers, directions)
def test_single_outputs_equal_the_whole_reference(op: Linear, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    for name, values in outputs.items():
        single = op.reference_at(direction, inputs, name, np.arange(values.size))
        np.testing.assert_allclose(single, values.ravel(), rtol=1e-12, atol=1e-12)


@given(layers, directions, st.data())
def test_the_projection_agrees_on_a_right_answer_and_on_no_wrong_one(
    op: Linear, direction: Direction, data: st.DataObject
) -> None:
    inputs, outputs = given_and_answer(op, direction)
    for name, values in outputs.items():
        wrong = values.copy()
        wrong.ravel()[data.draw(st.integers(0, values.size - 1))] += 1
        right = op.projection(direction, inputs, {name: values}, np.random.default_rng(0))
        bad = op.projection(direction, inputs, {name: wrong}, np.random.default_rng(0))
        assert right is not None
        assert bad is not None
        np.testing.assert_allclose(*right, rtol=1e-11, atol=1e-11)
        assert np.abs(bad[0] - bad[1]).max() == pytest.approx(1)


@pytest.mark.parametrize(
    ("op", "label"),
    [
        (Linear(n=64, in_features=1024, out_features=10), "64×1024 → 10"),
        (Linear(n=64, in_features=1024, out_features=10, bias=False), "64×1024 → 10 no bias"),
    ],
)
def test_the_label_names_what_differs_from_the_default(op: Linear, label: str) -> None:
    assert op.label() == label


@given(layers, layers)
def test_different_layers_have_different_labels(one: Linear, other: Linear) -> None:
    assert (one.label() == other.label()) == (one == other)


def check(problem: Problem, compute: Any) -> float:
    backend = numpy.SPEC.load()("cpu", 1)
    inputs = problem.inputs()
    tensors = tensors_of(backend, problem, inputs)
    return Verifier(problem, inputs).check(backend, tensors, lambda: compute(*tensors))


LAYER = Linear(n=9, in_features=8, out_features=8)


def test_a_layer_that_forgets_its_bias_is_caught() -> None:
    assert check(Problem(LAYER), lambda x, w, b: x @ w.T + b) < 1e-6
    with pytest.raises(WrongAnswerError, match="output y is"):
        check(Problem(LAYER), lambda x, w, b: x @ w.T)


def test_a_layer_that_does_not_turn_its_weights_is_caught() -> None:
    with pytest.raises(WrongAnswerError, match="output y is"):
        check(Problem(LAYER), lambda x, w, b: x @ w + b)


@pytest.mark.parametrize("whole", [True, False])
def test_a_bias_gradient_that_misses_a_row_is_caught(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not whole:
        monkeypatch.setattr(verify, "WHOLE_REFERENCE", 0)
    problem = Problem(LAYER, direction="backward_weight")
    assert check(problem, lambda x, dy: (dy.T @ x, dy.sum(axis=0))) < 1e-6
    with pytest.raises(WrongAnswerError, match="output db is"):
        check(problem, lambda x, dy: (dy.T @ x, dy[:-1].sum(axis=0)))
