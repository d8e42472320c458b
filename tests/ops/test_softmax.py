from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from checked import check
from hypothesis import given
from hypothesis import strategies as st

from dlbench.backends import numba, numpy, torch
from dlbench.backends.backend import BackendSpec, Implementation
from dlbench.ops.dtypes import Array
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem
from dlbench.ops.softmax import LogSoftmax, Softmax
from dlbench.runner.verify import WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch as pytorch

extents = st.integers(1, 40)
EXAMPLE, ANSWER = np.array([[5.0, 2.0, -1.0, 3.0]]), [[0.842, 0.042, 0.002, 0.114]]
"""Computed by hand."""
SLOW_VARIANTS = ("compiled",)
CELLS = [
    pytest.param(spec, one, dtype, id=f"{spec.name}:{one.variant} {dtype}")
    for spec in (numpy.SPEC, numba.SPEC, torch.SPEC)
    for one in spec.load().implementations()
    if one.op == "softmax" and "forward" in one.directions and one.variant not in SLOW_VARIANTS
    for dtype in one.dtypes
]


def test_the_softmax_of_a_worked_example() -> None:
    y = Softmax(rows=1, cols=4).reference("forward", {"x": EXAMPLE})["y"]
    assert y.round(3).tolist() == ANSWER


@pytest.mark.parametrize(("spec", "implementation", "dtype"), CELLS)
def test_every_backend_computes_the_worked_example(
    spec: BackendSpec, implementation: Implementation, dtype: str
) -> None:
    backend, problem = spec.load()("cpu", 1), Problem(Softmax(rows=1, cols=4), dtype)
    with backend.activate(implementation.variant):
        y = backend.host(implementation.prepare(problem, backend.tensor(EXAMPLE, dtype))())
    digits = 2 if dtype == "bfloat16" else 3  # of 0.842, which bfloat16 has to 1/512
    assert y.round(digits).tolist() == np.round(ANSWER, digits).tolist()


def test_the_gradients_of_worked_examples() -> None:
    given = {"y": np.array([[0.25, 0.75]]), "dy": np.array([[1.0, 3.0]])}
    dx = Softmax(rows=1, cols=2).reference("backward", given)["dx"]
    assert dx.tolist() == [[-0.375, 0.375]]  # y (dy - 2.5)
    given = {"y": np.log([[0.25, 0.75]]), "dy": np.array([[1.0, 3.0]])}
    dx = LogSoftmax(rows=1, cols=2).reference("backward", given)["dx"]
    np.testing.assert_allclose(dx, [[0.0, 0.0]], atol=1e-15)  # dy - 4 exp(y)


@given(extents, extents, st.sampled_from(DISTRIBUTIONS))
def test_both_and_their_gradients_are_torchs(rows: int, cols: int, data: Distribution) -> None:
    x = Problem(Softmax(rows=rows, cols=cols), "float64", data=data).inputs()["x"]
    dy = np.random.default_rng(rows).standard_normal((rows, cols))
    for op, function in (
        (Softmax(rows=rows, cols=cols), pytorch.softmax),
        (LogSoftmax(rows=rows, cols=cols), pytorch.log_softmax),
    ):
        leaf = pytorch.from_numpy(x.copy()).requires_grad_()
        expected = function(leaf, -1)
        (dx,) = pytorch.autograd.grad(expected, leaf, pytorch.from_numpy(dy))
        y = op.reference("forward", {"x": x})["y"]
        np.testing.assert_allclose(y, expected.detach().numpy(), rtol=1e-12, atol=1e-12)
        found = op.reference("backward", {"y": y, "dy": dy})["dx"]
        np.testing.assert_allclose(found, dx.numpy(), rtol=1e-10, atol=1e-10)


@given(extents, extents)
def test_every_row_sums_to_1(rows: int, cols: int) -> None:
    op = Softmax(rows=rows, cols=cols)
    y = op.reference("forward", Problem(op).inputs())["y"]
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-12)


@given(extents, extents)
def test_log_softmax_is_the_logarithm_of_softmax(rows: int, cols: int) -> None:
    x = Problem(Softmax(rows=rows, cols=cols)).inputs()
    y = Softmax(rows=rows, cols=cols).reference("forward", x)["y"]
    np.testing.assert_allclose(
        LogSoftmax(rows=rows, cols=cols).reference("forward", x)["y"], np.log(y), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("op", [Softmax, LogSoftmax])
def test_large_inputs_do_not_overflow(op: type[Softmax] | type[LogSoftmax]) -> None:
    y = op(rows=1, cols=2).reference("forward", {"x": np.array([[1e4, -1e4]])})["y"]
    assert np.isfinite(y).all()


@pytest.mark.parametrize("op", [Softmax, LogSoftmax])
def test_counts_are_five_operations_and_two_passes_of_memory_per_element(
    op: type[Softmax] | type[LogSoftmax],
) -> None:
    one = op(rows=3, cols=7)
    assert (one.flops("forward"), one.traffic("forward", 4)) == (5 * 21, 4 * 2 * 21)
    assert (one.label(), one.reduction_length("forward")) == ("3×7", 7)


@pytest.mark.parametrize("op", [Softmax, LogSoftmax])
def test_a_gradient_takes_four_operations_and_three_passes_of_memory_per_element(
    op: type[Softmax] | type[LogSoftmax],
) -> None:
    one = op(rows=3, cols=7)
    assert (one.flops("backward"), one.traffic("backward", 4)) == (4 * 21, 4 * 3 * 21)
    assert (one.inputs("backward"), one.outputs("backward")) == ({"y": (3, 7), "dy": (3, 7)}, {"dx": (3, 7)})
    assert one.reduction_length("backward") == 7


@pytest.mark.parametrize("op", [Softmax, LogSoftmax])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_sampled_output_is_that_of_the_whole(op: type[Softmax] | type[LogSoftmax], direction: Any) -> None:
    one = op(rows=5, cols=7)
    inputs = Problem(one, "float64", direction).inputs()
    ((name, whole),) = one.reference(direction, inputs).items()
    positions = np.array([0, 8, 8, 34], np.intp)
    found = one.reference_at(direction, inputs, name, positions)
    assert np.array_equal(found, whole.ravel()[positions])


@pytest.mark.parametrize(("rows", "cols"), [(1000, 1000), (4096, 64), (7, 2), (1, 1000)])
def test_the_crest_of_a_gradient_is_about_that_of_its_normal_data(rows: int, cols: int) -> None:
    op = Softmax(rows=rows, cols=cols)
    dx = op.reference("backward", Problem(op, direction="backward").inputs())["dx"]
    stands_out = float(np.abs(dx).max() / np.sqrt(np.mean(dx**2)))
    normal = max(1.0, math.sqrt(2 * math.log(rows * cols + 1)))
    assert 0.5 * stands_out <= op.crest("backward") * normal <= 3 * stands_out + normal


@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_the_y_of_a_gradient_is_a_softmax(data: Distribution) -> None:
    y = Problem(Softmax(rows=50, cols=9), "float64", "backward", data).inputs()["y"]
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-12)
    assert y.max() < 0.99  # of a row that is all on one element, dx would be a rounding error


def lopsided(y: Array, dy: Array) -> Array:
    wrong: Array = y * (dy - (y * dy)[:, :-1].sum(axis=1, keepdims=True))
    return wrong


@pytest.mark.parametrize(
    ("op", "wrong"),
    [
        (Softmax(rows=7, cols=129), lambda y, dy: y * dy),
        (Softmax(rows=7, cols=129), lopsided),
        (LogSoftmax(rows=7, cols=129), lambda y, dy: dy - y * dy.sum(axis=1, keepdims=True)),
        (LogSoftmax(rows=7, cols=129), lambda y, dy: dy - np.exp(y) * dy.mean(axis=1, keepdims=True)),
    ],
)
def test_a_wrong_gradient_is_caught(op: Softmax | LogSoftmax, wrong: Any) -> None:
    with pytest.raises(WrongAnswerError, match="relative error"):
        check(Problem(op, direction="backward"), lambda y, dy: lambda: wrong(y, dy))
