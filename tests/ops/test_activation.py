from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checked import check
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dlbench.ops.activation import Gelu, LeakyRelu, Relu, Sigmoid, Silu, Step, Tanh
from dlbench.ops.dtypes import FLOATS, Array, rounded
from dlbench.ops.op import DISTRIBUTIONS, Direction, Distribution, Op
from dlbench.ops.problem import Problem
from dlbench.runner import verify
from dlbench.runner.verify import WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.nn import functional

N = 1025
ACTIVATIONS: tuple[tuple[Op, Callable[[Any], Any]], ...] = (
    (Relu(n=N), torch.relu),
    (LeakyRelu(n=N), functional.leaky_relu),
    (LeakyRelu(n=N, slope=0.3), lambda x: functional.leaky_relu(x, 0.3)),
    (Sigmoid(n=N), torch.sigmoid),
    (Tanh(n=N), torch.tanh),
    (Silu(n=N), functional.silu),
    (Gelu(n=N), functional.gelu),
    (Gelu(n=N, approximate=True), lambda x: functional.gelu(x, approximate="tanh")),
)
OPS = (Step(n=N), *(op for op, _ in ACTIVATIONS))


def value(op: Op, *x: float) -> list[float]:
    found: list[float] = op.reference("forward", {"x": np.array(x)})["y"].tolist()
    return found


def test_activations_of_worked_examples() -> None:
    assert value(Step(n=3), -2.0, 0.0, 0.5) == [0.0, 0.0, 1.0]
    assert value(Relu(n=4), -2.0, -0.0, 0.5, 3.0) == [0.0, 0.0, 0.5, 3.0]
    assert value(LeakyRelu(n=3, slope=0.25), -2.0, 0.0, 3.0) == [-0.5, 0.0, 3.0]
    assert value(Sigmoid(n=3), -math.log(3), 0.0, math.log(3)) == pytest.approx([0.25, 0.5, 0.75])
    assert value(Tanh(n=2), 0.0, math.log(3)) == pytest.approx([0.0, 0.8])
    assert value(Silu(n=2), 0.0, math.log(3)) == pytest.approx([0.0, 0.75 * math.log(3)])
    assert value(Gelu(n=2), -1.0, 1.0) == pytest.approx([-0.158655254, 0.841344746])
    u = math.sqrt(2 / math.pi) * 1.044715
    assert value(Gelu(n=1, approximate=True), 1.0) == pytest.approx([(1 + math.tanh(u)) / 2])


def test_large_inputs_do_not_overflow() -> None:
    assert value(Sigmoid(n=2), -1e4, 1e4) == [0.0, 1.0]
    assert value(Silu(n=2), -1e4, 1e4) == [0.0, 1e4]
    assert value(Gelu(n=2), -1e4, 1e4) == [0.0, 1e4]


@pytest.mark.parametrize(("op", "function"), ACTIVATIONS, ids=lambda one: getattr(one, "name", ""))
@given(st.lists(st.floats(-20, 20), min_size=1, max_size=20))
def test_an_activation_and_its_gradient_are_torchs(
    op: Any, function: Callable[[Any], Any], values: list[float]
) -> None:
    op = op.model_copy(update={"n": len(values)})
    x, dy = np.array(values), np.arange(1.0, len(values) + 1)
    leaf = torch.from_numpy(x.copy()).requires_grad_()
    y = function(leaf)
    (dx,) = torch.autograd.grad(y, leaf, torch.from_numpy(dy))
    found = op.reference("forward", {"x": x})
    np.testing.assert_allclose(found["y"], y.detach().numpy(), rtol=1e-12, atol=1e-12)
    kept = x if "x" in op.inputs("backward") else found["y"]
    gradient = op.reference("backward", {op.kept: kept, "dy": dy})["dx"]
    np.testing.assert_allclose(gradient, dx.numpy(), rtol=1e-10, atol=1e-10)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_a_step_is_torchs_heaviside_of_0_at_0(values: list[float]) -> None:
    expected = torch.heaviside(
        torch.tensor(values, dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    )
    assert value(Step(n=len(values)), *values) == expected.tolist()


@pytest.mark.parametrize(
    ("op", "forward", "backward"),
    [
        (Step(n=10), 1, None),
        (Relu(n=10), 1, 1),
        (LeakyRelu(n=10), 2, 2),
        (Sigmoid(n=10), 4, 3),
        (Tanh(n=10), 1, 3),
        (Silu(n=10), 4, 9),
        (Gelu(n=10), 5, 11),
        (Gelu(n=10, approximate=True), 9, 18),
    ],
)
def test_operations_and_bytes_per_element(op: Op, forward: int, backward: int | None) -> None:
    assert (op.flops("forward"), op.traffic("forward", 2)) == (10 * forward, 10 * 2 * 2)
    assert op.directions == (("forward",) if backward is None else ("forward", "backward"))
    if backward is not None:
        assert (op.flops("backward"), op.traffic("backward", 2)) == (10 * backward, 10 * 3 * 2)
    assert op.reduction_length("forward") == 1


def test_a_gradient_is_given_what_torchs_operator_is_given() -> None:
    kept = {op.name: list(op.inputs("backward")) for op, _ in ACTIVATIONS}
    assert kept == {
        "relu": ["x", "dy"],
        "leaky_relu": ["x", "dy"],
        "sigmoid": ["y", "dy"],
        "tanh": ["y", "dy"],
        "silu": ["x", "dy"],
        "gelu": ["x", "dy"],
    }


def test_a_label_names_what_is_not_usual() -> None:
    assert LeakyRelu(n=1_000_000).label() == "1,000,000"
    assert LeakyRelu(n=10, slope=0.25).label() == "10 slope 0.25"
    assert (Gelu(n=10).label(), Gelu(n=10, approximate=True).label()) == ("10", "10 tanh")


@pytest.mark.parametrize("slope", [-0.01, 1.0, math.nan])
def test_a_slope_is_at_least_0_and_below_1(slope: float) -> None:
    with pytest.raises(ValidationError, match="slope"):
        LeakyRelu(n=1, slope=slope)


@pytest.mark.parametrize("data", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_y_that_is_kept_is_one_that_the_function_gives(dtype: str, data: Distribution) -> None:
    for op, least in ((Sigmoid(n=N), 0.0), (Tanh(n=N), -1.0)):
        y = Problem(op, dtype, "backward", data).inputs()["y"]
        assert np.array_equal(rounded(y, dtype), y)
        assert least <= y.min() <= y.max() <= 1.0


@pytest.mark.parametrize("op", OPS, ids=lambda op: f"{op.name} {op.label()}")
def test_a_sampled_output_is_that_of_the_whole(op: Op) -> None:
    positions = np.array([0, 3, N - 1], np.intp)
    for direction in op.directions:
        inputs = Problem(op, "float64", direction).inputs()
        ((name, whole),) = op.reference(direction, inputs).items()
        assert np.array_equal(op.reference_at(direction, inputs, name, positions), whole[positions])


def logistic(x: Array) -> Array:
    one: Array = 1 / (1 + np.exp(-x))
    return one


@pytest.mark.parametrize(
    ("op", "direction", "data", "wrong"),
    [
        (Step(n=N), "forward", "integers", lambda x: np.heaviside(x, 1)),
        (Relu(n=N), "forward", "normal", lambda x: np.abs(x)),
        (Relu(n=N), "backward", "integers", lambda x, dy: np.where(x >= 0, dy, 0)),
        (LeakyRelu(n=N, slope=0.02), "forward", "normal", lambda x: np.maximum(x, 0.01 * x)),
        (LeakyRelu(n=N), "backward", "normal", lambda x, dy: np.where(x > 0, dy, 0)),
        (Sigmoid(n=N), "forward", "normal", lambda x: logistic(-x)),
        (Sigmoid(n=N), "backward", "normal", lambda y, dy: dy * y),
        (Sigmoid(n=N), "backward", "normal", lambda y, dy: dy * logistic(y) * (1 - logistic(y))),
        (Tanh(n=N), "backward", "normal", lambda y, dy: dy * (1 - y)),
        (Silu(n=N), "backward", "normal", lambda x, dy: dy * logistic(x)),
        (
            Gelu(n=N),
            "forward",
            "normal",
            lambda x: functional.gelu(torch.from_numpy(x), approximate="tanh").numpy(),
        ),
        (
            Gelu(n=N, approximate=True),
            "forward",
            "normal",
            lambda x: functional.gelu(torch.from_numpy(x)).numpy(),
        ),
        (Gelu(n=N), "backward", "normal", lambda x, dy: dy * logistic(1.702 * x)),
    ],
)
def test_a_wrong_activation_is_caught(
    op: Op, direction: Direction, data: Distribution, wrong: Callable[..., Array]
) -> None:
    problem = Problem(op, "float32", direction, data)
    with pytest.raises(WrongAnswerError, match="relative error"):
        check(problem, lambda *tensors: lambda: np.asarray(wrong(*tensors), np.float32))


def test_a_wrong_activation_is_caught_by_sampling_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "WHOLE_REFERENCE", 0)
    with pytest.raises(WrongAnswerError, match="relative error"):
        check(Problem(Relu(n=5000)), lambda x: lambda: np.abs(x))
    assert check(Problem(Relu(n=5000)), lambda x: lambda: np.maximum(x, 0)) == 0.0
