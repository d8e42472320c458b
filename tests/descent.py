"""Training steps as torch's own modules and optimizer take them, and answers of a test's own to be verified."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from checked import check

from dlbench.backends import torch as torch_backend
from dlbench.backends.backend import tensors_of
from dlbench.ops.dtypes import Array
from dlbench.ops.op import Op
from dlbench.ops.problem import Problem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

STEP = 1e-6
"""Of a central difference of numbers of order 1: its error is of order STEP², and that of rounding 1e-16 / STEP."""
Answer = Mapping[str, Array]


def tensors(given: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    """Return float64 tensors of the inputs."""
    return {name: torch.from_numpy(np.asarray(values, np.float64)) for name, values in given.items()}


def linear(w: torch.Tensor, b: torch.Tensor) -> torch.nn.Linear:
    """Return a layer with these weights."""
    layer = torch.nn.Linear(w.shape[1], w.shape[0], dtype=torch.float64)
    layer.load_state_dict({"weight": w, "bias": b})
    return layer


def rectified(weights: Sequence[torch.Tensor]) -> torch.nn.Sequential:
    """Return layers with rectifiers between them."""
    layers = [linear(w, b) for w, b in zip(weights[::2], weights[1::2], strict=True)]
    between = [one for layer in layers for one in (layer, torch.nn.ReLU())]
    return torch.nn.Sequential(*between[:-1])


def descended(module: torch.nn.Module, loss: torch.Tensor) -> list[Array]:
    """Return the loss, its gradients and the weights after a step of torch's stochastic gradient descent."""
    torch.optim.SGD(module.parameters(), lr=0.125).zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch's
    weights = list(module.parameters())
    found = [loss.detach().numpy(), *(w.grad.numpy().copy() for w in weights if w.grad is not None)]
    torch.optim.SGD(weights, lr=0.125).step()
    return found + [w.detach().numpy() for w in weights]


def answer(op: Op, given: Mapping[str, Array]) -> dict[str, Array]:
    """Return the reference's answer in float64."""
    return op.reference(op.directions[0], {name: np.asarray(one, np.float64) for name, one in given.items()})


def error_of(op: Op, change: Callable[[Answer], Mapping[str, Any]]) -> float:
    """Return the error of the reference's own answer, changed, as of a variant that puts it out in float32."""
    problem = Problem(op, direction=op.directions[0])

    def prepare(*arrays: Any) -> Any:
        given = dict(zip(op.inputs(op.directions[0]), arrays, strict=True))
        return lambda: tuple(np.asarray(one, np.float32) for one in change(answer(op, given)).values())

    return check(problem, prepare)


def slope_along(op: Op, given: Mapping[str, Array], way: Mapping[str, Array]) -> float:
    """Return the central difference of the loss along a direction in the weights."""
    ahead, behind = (
        answer(op, {**given, **{name: given[name] + sign * STEP * one for name, one in way.items()}})["loss"]
        for sign in (1, -1)
    )
    return float(ahead - behind) / (2 * STEP)


def counted(problem: Problem) -> int | None:
    """Return the operations that torch's counter sees in the variant `library`."""
    backend = torch_backend.SPEC.load()("cpu", 1)
    implementation = backend.find(problem, "library")
    with backend.activate("library"):
        return backend.count_flops(
            implementation.prepare(problem, *tensors_of(backend, problem, problem.inputs()))
        )
