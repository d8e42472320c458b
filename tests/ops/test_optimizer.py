from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from checked import check
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.op import CHECKED_CALLS, DISTRIBUTIONS, Distribution
from dlbench.ops.optimizer import SMALLEST_SCALE, Adam, Sgd
from dlbench.ops.problem import Problem
from dlbench.ops.several import MANY
from dlbench.ops.tolerance import tolerance
from dlbench.runner import verify
from dlbench.runner.verify import WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

Optimizer = Sgd | Adam

rates = st.floats(1e-4, 1.0)
weights = st.sampled_from([0.0]) | st.floats(0.0, 0.9)
decays = st.sampled_from([0.0]) | st.floats(0.0, 0.99)
few = st.integers(1, 5)
sgds = st.builds(Sgd, tensors=few, n=few, lr=rates, momentum=decays, weight_decay=weights)
adams = st.builds(
    Adam,
    tensors=few,
    n=few,
    lr=rates,
    weight_decay=weights,
    beta1=decays,
    beta2=decays,
    eps=st.floats(1e-8, 1.0),
)
STEEP = Problem(Adam(n=200, lr=0.25, beta1=0.5, beta2=0.75, weight_decay=0.5))


def torchs(op: Optimizer, inputs: Mapping[str, Array], steps: int) -> dict[str, Array]:
    """The parameters after so many steps of torch.optim's, with the same gradients."""
    names = list(op.outputs("forward"))
    parameters = [torch.tensor(inputs[name], requires_grad=True) for name in names]
    for name, p in zip(names, parameters, strict=True):
        p.grad = torch.tensor(inputs[name.replace("p", "g")])
    optimizer = torchs_optimizer(op, parameters)
    for _ in range(steps):
        optimizer.step()
    return {name: p.detach().numpy() for name, p in zip(names, parameters, strict=True)}


def torchs_optimizer(op: Optimizer, parameters: list[torch.Tensor]) -> Any:
    if isinstance(op, Sgd):
        return torch.optim.SGD(parameters, op.lr, momentum=op.momentum, weight_decay=op.weight_decay)
    return torch.optim.Adam(
        parameters, op.lr, betas=(op.beta1, op.beta2), eps=op.eps, weight_decay=op.weight_decay
    )


def test_two_steps_of_a_worked_example() -> None:
    inputs = {"p0": np.array([1.0]), "g0": np.array([2.0])}
    plain = Sgd(n=1, lr=0.5, momentum=0.0)
    assert plain.reference("forward", inputs)["p0"].tolist() == [1 - 1 - 1]
    momentum = Sgd(n=1, lr=0.5, momentum=0.5)
    assert momentum.reference("forward", inputs)["p0"].tolist() == [1 - 0.5 * 2 - 0.5 * 3]
    decayed = Sgd(n=1, lr=0.5, momentum=0.0, weight_decay=1.0)
    assert decayed.reference("forward", inputs)["p0"].tolist() == [1 - 0.5 * 3 - 0.5 * 1.5]
    adam = Adam(n=1, lr=0.5, eps=0.25)
    assert adam.reference("forward", inputs)["p0"].item() == pytest.approx(1 - 2 * 0.5 * 2 / 2.25)


@given(st.one_of(sgds, adams), st.sampled_from(DISTRIBUTIONS))
def test_the_steps_are_torchs(op: Optimizer, data: Distribution) -> None:
    inputs = Problem(op, "float64", data=data).inputs()
    expected = torchs(op, inputs, CHECKED_CALLS)
    for name, value in op.reference("forward", inputs).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-9, atol=1e-12)


@given(st.one_of(sgds, adams), st.integers(1, 6))
def test_any_number_of_steps_is_torchs(op: Optimizer, steps: int) -> None:
    inputs = Problem(op, "float64").inputs()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dlbench.ops.optimizer.CHECKED_CALLS", steps)
        found = op.reference("forward", inputs)
    for name, value in torchs(op, inputs, steps).items():
        np.testing.assert_allclose(found[name], value, rtol=1e-9, atol=1e-12)


def test_the_inputs_are_parameters_and_gradients_and_the_outputs_parameters() -> None:
    op = Sgd(tensors=2, n=3)
    assert op.inputs("forward") == {"p0": (3,), "p1": (3,), "g0": (3,), "g1": (3,)}
    assert op.outputs("forward") == {"p0": (3,), "p1": (3,)}
    assert op.stateful


@pytest.mark.parametrize("op", [Sgd(tensors=2, n=30), Adam(tensors=2, n=30)], ids=lambda op: op.name)
def test_single_outputs_are_those_of_the_whole_reference(op: Optimizer) -> None:
    inputs, positions = Problem(op).inputs(), np.array([0, 7, 29], dtype=np.intp)
    for name, whole in op.reference("forward", inputs).items():
        assert np.array_equal(op.reference_at("forward", inputs, name, positions), whole[positions])


def test_operations_are_those_of_the_terms_there_are() -> None:
    flops = [
        op.flops("forward")
        for op in (
            Sgd(tensors=2, n=5, momentum=0.0),
            Sgd(tensors=2, n=5),
            Sgd(tensors=2, n=5, momentum=0.0, weight_decay=0.1),
            Sgd(tensors=2, n=5, weight_decay=0.1),
            Adam(tensors=2, n=5),
            Adam(tensors=2, n=5, weight_decay=0.1),
        )
    ]
    assert flops == [20, 40, 40, 60, 130, 150]


def test_bytes_are_those_of_the_state_as_well() -> None:
    """p and g read, p written; one more read and one more write for each moment."""
    assert Sgd(tensors=2, n=5, momentum=0.0).traffic("forward", 4) == 4 * 3 * 10
    assert Sgd(tensors=2, n=5).traffic("forward", 4) == 4 * 5 * 10
    assert Adam(tensors=2, n=5).traffic("forward", 2) == 2 * 7 * 10


def test_labels_name_what_is_not_at_its_default() -> None:
    assert Sgd(tensors=2, n=5).label() == "2×5"
    assert Sgd(tensors=2, n=5, lr=0.1, momentum=0.0).label() == "2×5 lr 0.1 momentum 0"
    assert Adam(n=5, beta2=0.99, weight_decay=0.01).label() == "1×5 weight_decay 0.01 beta2 0.99"


def test_adam_has_no_float16() -> None:
    """v of the first step, a thousandth of the square, is 0 in float16 for a gradient below 0.0054, and none in bfloat16."""
    assert Adam.dtypes == ("float64", "float32", "bfloat16")
    assert (rounded(np.array([0.001 * 0.005**2]), "float16") == 0).all()
    assert (rounded(np.array([0.001 * 1e-6**2]), "bfloat16") > 0).all()


def test_rates_that_make_no_sense_are_refused() -> None:
    with pytest.raises(
        ProblemError, match=r"^sgd 1×5 lr 0.5 weight_decay 2: lr times weight_decay is 1; from 1 on"
    ):
        Sgd(n=5, lr=0.5, weight_decay=2.0)
    assert Sgd(n=5, lr=0.5, weight_decay=1.9).weight_decay == 1.9
    for wrong in ({"lr": 0.0}, {"lr": 1.5}, {"lr": math.nan}, {"momentum": 1.0}, {"weight_decay": -0.1}):
        with pytest.raises(ValidationError):
            Sgd(n=5, **wrong)  # type: ignore[arg-type]  # each is a float
    for wrong in ({"beta1": 1.0}, {"beta2": -0.1}, {"eps": 0.0}):
        with pytest.raises(ValidationError):
            Adam(n=5, **wrong)  # type: ignore[arg-type]  # each is a float
    with pytest.raises(ValidationError, match=f"less than or equal to {MANY}"):
        Sgd(tensors=MANY + 1, n=1)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("lr", [1.0, 0.3, 1e-3, 1e-5])
def test_parameters_are_about_as_large_as_a_step_and_numbers_of_the_dtype(dtype: str, lr: float) -> None:
    problem = Problem(Sgd(tensors=2, n=1000, lr=lr), dtype)
    inputs = problem.inputs()
    for name, values in inputs.items():
        assert np.array_equal(values, rounded(values, dtype)), name
    spread = {name: float(values.std()) for name, values in inputs.items()}
    size = max(lr, SMALLEST_SCALE)
    assert all(0.65 * size < spread[name] < 1.5 * size for name in ("p0", "p1"))
    assert all(0.9 < spread[name] < 1.1 for name in ("g0", "g1"))


@pytest.mark.parametrize("op", [Sgd(n=1000), Adam(n=1000)], ids=lambda op: op.name)
@pytest.mark.parametrize("data", ["normal", "uniform"])
def test_a_step_too_few_is_several_times_the_tolerance_of_every_dtype(
    op: Optimizer, data: Distribution
) -> None:
    for dtype in ("float64", "float32", "float16", "bfloat16"):
        problem = Problem(op, dtype, data=data)
        inputs = problem.inputs()
        right, early = (torchs(op, inputs, steps)["p0"] for steps in (CHECKED_CALLS, CHECKED_CALLS - 1))
        error = np.abs(right - early).max() / np.sqrt(np.mean(right**2))
        assert error > 2 * tolerance(problem)


@pytest.mark.parametrize("kind", [Sgd, Adam])
def test_parameters_stay_finite_over_millions_of_steps(kind: type[Optimizer]) -> None:
    """They drift by less than lr g / (1 - momentum) each step: in float16 until that is less than half a spacing."""
    op = kind(n=100)
    largest = float(np.abs(Problem(op, "float16").inputs()["g0"]).max())
    step = op.lr * largest / (1 - (op.momentum if isinstance(op, Sgd) else 0.0))
    p = np.float16(1.0)
    while p < np.inf and p + np.float16(step) > p:
        p += np.spacing(p) * np.float16(64)
    assert p < 1000
    assert 10**9 * step < float(np.finfo(np.float32).max)


def stepping(
    op: Sgd | Adam, step: Callable[[dict[str, Any], int], None], state: tuple[str, ...] = ("u", "m", "v")
) -> Callable[..., Any]:
    """What makes `step(state, number)` on arrays p and g, in place, at each call."""

    def prepare(p: Any, g: Any) -> Any:
        held = {"p": p.copy(), "g": g} | {name: np.zeros_like(p) for name in state}
        held["count"] = 0

        def call() -> Any:
            held["count"] += 1
            step(held, held["count"])
            return held["p"]

        return call

    return prepare


def adam(*, corrected: bool = True, swapped: bool = False, coupled: bool = True) -> Callable[..., Any]:
    op = STEEP.op
    assert isinstance(op, Adam)
    beta1, beta2 = (op.beta2, op.beta1) if swapped else (op.beta1, op.beta2)

    def step(s: dict[str, Any], count: int) -> None:
        g = s["g"] + op.weight_decay * s["p"] if coupled else s["g"]
        s["m"][:] = beta1 * s["m"] + (1 - beta1) * g
        s["v"][:] = beta2 * s["v"] + (1 - beta2) * g * g
        first, second = (1 - beta1**count, 1 - beta2**count) if corrected else (1.0, 1.0)
        s["p"] -= op.lr / first * s["m"] / (np.sqrt(s["v"] / second) + op.eps)

    return stepping(op, step)


def test_a_right_adam_passes() -> None:
    assert check(STEEP, adam()) < tolerance(STEEP) / 4


@pytest.mark.parametrize("wrong", ["corrected", "coupled"])
def test_an_adam_without_a_term_is_caught(wrong: str) -> None:
    with pytest.raises(WrongAnswerError, match="output p0 is"):
        check(STEEP, adam(**{wrong: False}))


def test_an_adam_with_its_betas_swapped_is_caught() -> None:
    with pytest.raises(WrongAnswerError, match="output p0 is"):
        check(STEEP, adam(swapped=True))


def sgd(
    op: Sgd, *, steps: int = CHECKED_CALLS, nesterov: bool = False, anew: bool = False
) -> Callable[..., Any]:
    def step(s: dict[str, Any], count: int) -> None:
        if count > steps:
            return
        s["u"][:] = (0 if anew else op.momentum) * s["u"] + s["g"]
        s["p"] -= op.lr * (op.momentum * s["u"] + s["g"] if nesterov else s["u"])

    return stepping(op, step)


@pytest.mark.parametrize("limit", [0, verify.WHOLE_REFERENCE])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("wrong", [{"steps": 1}, {"steps": 0}, {"nesterov": True}, {"anew": True}], ids=str)
def test_a_wrong_descent_is_caught(
    wrong: dict[str, Any], dtype: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "WHOLE_REFERENCE", limit)
    op = Sgd(n=200)
    assert check(Problem(op, dtype), sgd(op)) < tolerance(Problem(op, dtype)) / 4
    with pytest.raises(WrongAnswerError, match="output p0 is"):
        check(Problem(op, dtype), sgd(op, **wrong))


def test_an_optimizer_that_steps_on_its_inputs_is_caught() -> None:
    def prepare(p: Any, g: Any) -> Any:
        def call() -> Any:
            p[:] -= np.float32(0.001) * g
            return p

        return call

    with pytest.raises(
        WrongAnswerError, match=r"^changes its input p0, or returns memory that belongs to it$"
    ):
        check(Problem(Sgd(n=20, momentum=0.0)), prepare)
