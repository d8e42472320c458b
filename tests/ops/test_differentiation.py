"""The gradient of a network is autograd's and any central difference's; every mode leaves the weights alone."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
from checked import check
from descent import counted, tensors
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dlbench.backends import numba, numpy, torch
from dlbench.backends.backend import Backend, tensors_of
from dlbench.ops.differentiation import NetworkGradient
from dlbench.ops.dtypes import Array
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem
from dlbench.runner.verify import WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    from torch import Tensor, autograd
    from torch.nn.functional import mse_loss

small = st.integers(1, 5)
gradients = st.builds(NetworkGradient, width=small, batch=small, layers=st.integers(1, 4))
Given = Mapping[str, Array]
MODES = [
    *((torch.SPEC.name, mode) for mode in ("library", "vjp", "jvp", "jacfwd", "finite_differences")),
    *((numpy.SPEC.name, mode) for mode in ("vjp", "jvp", "finite_differences")),
    *((numba.SPEC.name, mode) for mode in ("naive", "jvp", "finite_differences")),
]


def inputs(op: NetworkGradient) -> dict[str, Array]:
    return Problem(op, "float64", "forward_backward").inputs()


def answer(op: NetworkGradient, given: Given) -> dict[str, Array]:
    return op.reference("forward_backward", given)


def loss(op: NetworkGradient, given: Given) -> float:
    """E, written anew."""
    y = given["x"] @ given["w1"].T
    for layer in range(2, op.layers + 1):
        y = (y * given[f"g{layer - 1}"]) @ given[f"w{layer}"].T
    return float(np.square(y - given["t"]).sum() / (2 * op.batch))


def test_the_gradient_of_a_worked_example() -> None:
    """y = 3 · 2 · 5 = 30 is 2 too much, and where the gate is shut 28 too little."""
    op = NetworkGradient(width=1, batch=1)
    given = {name: np.array([[value]]) for name, value in (("x", 5.0), ("t", 28.0), ("w1", 2.0), ("w2", 3.0))}
    opened, shut = (answer(op, {**given, "g1": np.array([[gate]])}) for gate in (1.0, 0.0))
    assert {name: one.item() for name, one in opened.items()} == {"dw1": 2 * 3 * 5, "dw2": 2 * 10}
    assert {name: one.item() for name, one in shut.items()} == {"dw1": 0, "dw2": 0}


@given(gradients)
def test_the_gradient_is_autograds(op: NetworkGradient) -> None:
    given = inputs(op)
    found = tensors(given)
    leaves = [found[f"w{layer}"].requires_grad_() for layer in range(1, op.layers + 1)]
    y: Tensor = found["x"] @ leaves[0].T
    for layer, leaf in enumerate(leaves[1:], 1):
        y = (y * found[f"g{layer}"]) @ leaf.T
    error = mse_loss(y, found["t"], reduction="sum") / (2 * op.batch)
    for one, other in zip(answer(op, given).values(), autograd.grad(error, leaves), strict=True):
        np.testing.assert_allclose(one, other.numpy(), rtol=1e-11, atol=1e-12)


@given(gradients, st.floats(0.01, 100), st.data())
def test_a_central_difference_with_any_step_is_the_derivative_in_one_weight(
    op: NetworkGradient, step: float, data: st.DataObject
) -> None:
    given = inputs(op)
    layer, row, column = (
        data.draw(st.integers(first, last))
        for first, last in ((1, op.layers), (0, op.width - 1), (0, op.width - 1))
    )
    sides = []
    for moved in (step, -step):
        weight = given[f"w{layer}"].copy()
        weight[row, column] += moved
        sides.append(loss(op, {**given, f"w{layer}": weight}))
    found = answer(op, given)[f"dw{layer}"][row, column]
    assert (sides[0] - sides[1]) / (2 * step) == pytest.approx(found, rel=1e-9, abs=1e-13 * sum(sides) / step)


@given(gradients)
def test_shapes_are_those_that_are_declared(op: NetworkGradient) -> None:
    given = inputs(op)
    assert {name: values.shape for name, values in given.items()} == op.inputs("forward_backward")
    found = answer(op, given)
    assert {name: values.shape for name, values in found.items()} == op.outputs("forward_backward")


@given(gradients)
def test_the_operations_are_those_that_torch_counts_of_autograd(op: NetworkGradient) -> None:
    assert counted(Problem(op, "float32", "forward_backward")) == op.flops("forward_backward")


def test_counts_of_a_small_network() -> None:
    op = NetworkGradient(width=3, batch=5, layers=4)
    forward = 4 * (2 * 5 * 3 * 3)
    assert op.flops("forward_backward") == 3 * forward - 2 * 5 * 3 * 3  # nothing is taken back to x
    assert op.parameters() == 4 * 9
    assert op.activations() == 4 * 5 * 3
    assert op.traffic("forward_backward", 8) == 8 * ((2 + 3) * 5 * 3 + 2 * 36)
    assert (op.reduction_length("forward_backward"), op.roundings("forward_backward")) == (4 * 3 + 5 * 3, 8)
    assert op.step == math.sqrt(3)


@pytest.mark.parametrize(
    ("op", "label"),
    [
        (NetworkGradient(width=64), "2 layers of 64×64, batch 64"),
        (NetworkGradient(width=8, batch=1, layers=1), "1 layer of 8×8, batch 1"),
    ],
)
def test_the_label_is_the_layers_and_the_batch(op: NetworkGradient, label: str) -> None:
    assert op.label() == label


@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_gates_are_open_or_shut_whatever_the_data(data: Distribution) -> None:
    given = Problem(NetworkGradient(width=9, layers=3), "float32", "forward_backward", data).inputs()
    for name in ("g1", "g2"):
        assert set(np.unique(given[name])) == {0.0, 1.0}


@pytest.mark.parametrize("bad", ["width", "batch", "layers"])
def test_nothing_of_it_can_be_empty(bad: str) -> None:
    with pytest.raises(ValidationError, match=bad):
        NetworkGradient.model_validate({"width": 2, "batch": 2, "layers": 2} | {bad: 0})


LEARNER = NetworkGradient(width=6, batch=8, layers=3)


def backwards(given: Given, *, gated: bool = True, mean: bool = True) -> tuple[Array, ...]:
    """The gradients with the gates on the way back, or without, and of the mean, or of the sum."""
    x, t, w1, w2, w3, g1, g2 = given.values()
    first = g1 * (x @ w1.T)
    second = g2 * (first @ w2.T)
    error = (second @ w3.T - t) / (LEARNER.batch if mean else 1)
    before = (error @ w3) * (g2 if gated else 1)
    return ((before @ w2) * g1).T @ x, before.T @ first, error.T @ second


def prepared(**options: bool) -> Callable[..., Any]:
    def prepare(*arrays: Any) -> Any:
        names = LEARNER.inputs("forward_backward")
        given = {name: array.astype(np.float64) for name, array in zip(names, arrays, strict=True)}
        return lambda: tuple(one.astype(np.float32) for one in backwards(given, **options))

    return prepare


def test_the_right_way_back_passes() -> None:
    assert check(Problem(LEARNER, direction="forward_backward"), prepared()) < 1e-6


@pytest.mark.parametrize(("wrong", "output"), [("gated", "dw1"), ("mean", "dw1")])
def test_a_gate_forgotten_on_the_way_back_and_a_sum_over_the_batch_are_caught(
    wrong: str, output: str
) -> None:
    with pytest.raises(WrongAnswerError, match=f"^output {output} is "):
        check(Problem(LEARNER, direction="forward_backward"), prepared(**{wrong: False}))


@cache
def backend_of(name: str) -> Backend:
    return {"torch": torch.SPEC, "numpy": numpy.SPEC, "numba": numba.SPEC}[name].load()("cpu", 1)


def on_host(backend: Backend, some: Any) -> list[Array]:
    return [backend.host(one) for one in (some if isinstance(some, (tuple, list)) else (some,))]


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_every_mode_leaves_what_it_was_given_and_answers_the_same_again(name: str, mode: str) -> None:
    backend, problem = backend_of(name), Problem(LEARNER, "float32", "forward_backward")
    given = tensors_of(backend, problem, problem.inputs())
    with backend.activate(mode):
        call = backend.find(problem, mode).prepare(problem, *given)
        first = on_host(backend, call())
        again = on_host(backend, call())
    for values, before in zip(on_host(backend, given), problem.inputs().values(), strict=True):
        assert np.array_equal(values, before)
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_every_mode_goes_by_the_weights_that_it_was_prepared_with(name: str, mode: str) -> None:
    backend, problem = backend_of(name), Problem(LEARNER, "float64", "forward_backward")
    found = []
    for seed in (1, 2):
        given = problem.inputs(seed)
        with backend.activate(mode, dtype="float64"):
            call = backend.find(problem, mode).prepare(problem, *tensors_of(backend, problem, given))
            found.append(on_host(backend, call()))
        for one, other in zip(found[-1], answer(LEARNER, given).values(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)
    assert not np.allclose(found[0][0], found[1][0])


FORWARD_MODE = """
import warnings
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of the import alone
    from dlbench.backends import torch
    backend = torch.SPEC.load()("cpu", 1)
from dlbench.backends.backend import tensors_of
from dlbench.ops.differentiation import NetworkGradient
from dlbench.ops.problem import Problem
warnings.simplefilter("error")
problem = Problem(NetworkGradient(width=2, batch=3), "float64", "forward_backward")
for mode in ("jvp", "jacfwd"):
    with backend.activate(mode, dtype="float64"):
        call = backend.find(problem, mode).prepare(problem, *tensors_of(backend, problem, problem.inputs()))
        print(mode, len(call()))
"""


def test_forward_mode_warns_of_nothing_in_a_process_of_its_own() -> None:
    """In this one torch may have loaded its rules of forward mode before, of which it warns once."""
    done = subprocess.run([sys.executable, "-c", FORWARD_MODE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "jvp 2\njacfwd 2\n", "")
