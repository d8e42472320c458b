"""The gradient of a network by torch: autograd, and the transforms of torch.func."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

from dlbench.backends.backend import implements
from dlbench.backends.torch.autograd import leaf, training_call
from dlbench.ops.differentiation import NetworkGradient
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DIRECTIONS: Any = ("forward_backward",)
DTYPES = ("float32", "float64")
"""Finite differences of a loss that is rounded to 16 bits say nothing; the others are given what they can be compared in."""
UNCOMPILED = "torch.compile takes no gradient of what autograd records within the call"

Weights = tuple[torch.Tensor, ...]


def _op(problem: Problem) -> NetworkGradient:
    if not isinstance(problem.op, NetworkGradient):
        raise TypeError(f"not the gradient of a network: {problem.op!r}")
    return problem.op


def _loss(problem: Problem, tensors: Sequence[torch.Tensor]) -> tuple[Callable[..., torch.Tensor], Weights]:
    """Return E as a function of the weights, and copies of the weights that take no gradient."""
    op = _op(problem)
    x, t, weights, gates = op.parts([leaf(tensor, wanted=False) for tensor in tensors])

    def loss(*candidates: torch.Tensor) -> torch.Tensor:
        value = x
        for weight, gate in zip(candidates, gates, strict=False):
            value = gate * (value @ weight.T)
        error: torch.Tensor = (value @ candidates[-1].T - t).square().sum() / (2 * op.batch)
        return error

    return loss, tuple(weights)


def _room(weights: Weights) -> Weights:
    """Return zeros of the weights' shapes; of inference mode they could not be written outside of it."""
    with torch.inference_mode(False):
        return tuple(torch.zeros_like(weight) for weight in weights)


def _several(gradients: Sequence[torch.Tensor]) -> Any:
    return gradients[0] if len(gradients) == 1 else tuple(gradients)


@implements(
    "network_gradient", variant="library", directions=DIRECTIONS, dtypes=DTYPES, uncompiled=UNCOMPILED
)
@implements("network_gradient", variant="native", directions=DIRECTIONS, dtypes=DTYPES)
def autograd(problem: Problem, *tensors: torch.Tensor) -> Call:
    """torch.autograd.grad: the way that a training step goes."""
    loss, weights = _loss(problem, tensors)
    leaves = [leaf(weight) for weight in weights]
    return training_call(lambda *given: _several(torch.autograd.grad(loss(*given), given)), leaves)


@implements("network_gradient", variant="vjp", directions=DIRECTIONS, dtypes=DTYPES)
def reverse(problem: Problem, *tensors: torch.Tensor) -> Call:
    """torch.func.vjp: reverse mode as a transform of the function."""
    loss, weights = _loss(problem, tensors)
    one = leaf(weights[0].new_ones(()), wanted=False)

    def gradient(*given: torch.Tensor) -> Any:
        _, back, *_ = torch.func.vjp(loss, *given)
        return _several(back(one))

    return training_call(gradient, weights)


@implements("network_gradient", variant="jvp", directions=DIRECTIONS, dtypes=DTYPES)
def forward(problem: Problem, *tensors: torch.Tensor) -> Call:
    """torch.func.jvp along each weight in turn: a pass for each, with values and tangents."""
    loss, weights = _loss(problem, tensors)
    still, gradients = _room(weights), _room(weights)

    def gradient(*given: torch.Tensor) -> Any:
        for layer, found in enumerate(gradients):
            way = torch.zeros_like(found)
            tangents = (*still[:layer], way, *still[layer + 1 :])
            flat, derivatives = way.view(-1), found.view(-1)
            for place in range(flat.numel()):
                flat[place] = 1
                derivatives[place] = torch.func.jvp(loss, given, tangents)[1]
                flat[place] = 0
        return _several(gradients)

    return _untracked(gradient, weights)


@implements("network_gradient", variant="jacfwd", directions=DIRECTIONS, dtypes=DTYPES)
def jacobian(problem: Problem, *tensors: torch.Tensor) -> Call:
    """torch.func.jacfwd: forward mode along all weights of a layer at once, by a batch of tangents."""
    loss, weights = _loss(problem, tensors)
    whole = torch.func.jacfwd(loss, argnums=tuple(range(len(weights))))
    return _untracked(lambda *given: _several(whole(*given)), weights)


@implements("network_gradient", variant="finite_differences", directions=DIRECTIONS, dtypes=DTYPES)
def differences(problem: Problem, *tensors: torch.Tensor) -> Call:
    """E at both sides of each weight: two passes for each. The weights that it changes are copies."""
    loss, weights = _loss(problem, tensors)
    step = _op(problem).step
    gradients = _room(weights)

    def gradient(*given: torch.Tensor) -> Any:
        for weight, found in zip(given, gradients, strict=True):
            flat, derivatives = weight.view(-1), found.view(-1)
            for place, there in enumerate(flat.tolist()):
                flat[place] = there + step
                above = loss(*given)
                flat[place] = there - step
                derivatives[place] = (above - loss(*given)) / (2 * step)
                flat[place] = there
        return _several(gradients)

    return _untracked(gradient, weights)


@cache
def _forward_mode() -> None:
    """Let torch load its rules of forward mode, which it does with a warning of its own deprecated compiler."""
    one = torch.ones(())
    with warnings.catch_warnings(), torch.inference_mode(False):
        warnings.simplefilter("ignore")
        torch.func.jvp(torch.sin, (one.clone(),), (one.clone(),))


def _untracked(gradient: Callable[..., Any], weights: Weights) -> Call:
    """Return the call without autograd's own graph, but out of inference mode, whose tensors take no tangents."""
    _forward_mode()

    def call() -> Any:
        with torch.inference_mode(False), torch.no_grad():
            return gradient(*weights)

    return call
