"""Steps of optimizers as array expressions, in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.optimizer import Adam, Sgd
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


def _own(tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return copies of the parameters, and the gradients."""
    half = len(tensors) // 2
    return tuple(p.copy() for p in tensors[:half]), tensors[half:]


@implements("sgd", variant="native")
def sgd(problem: Problem, *tensors: Tensor) -> Call:
    """A pass for each operation, one parameter after the other."""
    op = problem.op
    if not isinstance(op, Sgd):
        raise TypeError(f"not sgd: {op!r}")
    parameters, gradients = _own(tensors)
    sums = [np.zeros_like(p) if op.momentum else p[:0] for p in parameters]
    spare = np.empty_like(parameters[0])

    def step(p: Tensor, g: Tensor, u: Tensor) -> None:
        if op.weight_decay:
            np.multiply(p, op.weight_decay, out=spare)
            g = np.add(g, spare, out=spare)
        if op.momentum:
            np.multiply(u, op.momentum, out=u)
            g = np.add(u, g, out=u)
        np.multiply(g, op.lr, out=spare)
        np.subtract(p, spare, out=p)

    def call() -> tuple[Tensor, ...]:
        for p, g, u in zip(parameters, gradients, sums, strict=True):
            step(p, g, u)
        return parameters

    return call


@implements("adam", variant="native")
def adam(problem: Problem, *tensors: Tensor) -> Call:
    """A pass for each operation, one parameter after the other."""
    op = problem.op
    if not isinstance(op, Adam):
        raise TypeError(f"not adam: {op!r}")
    parameters, gradients = _own(tensors)
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    decayed, spare = np.empty_like(parameters[0]), np.empty_like(parameters[0])
    steps = 0

    def step(p: Tensor, g: Tensor, m: Tensor, v: Tensor) -> None:
        if op.weight_decay:
            np.multiply(p, op.weight_decay, out=decayed)
            g = np.add(g, decayed, out=decayed)
        np.multiply(m, op.beta1, out=m)
        np.multiply(g, 1 - op.beta1, out=spare)
        np.add(m, spare, out=m)
        np.multiply(v, op.beta2, out=v)
        np.multiply(g, g, out=spare)
        np.multiply(spare, 1 - op.beta2, out=spare)
        np.add(v, spare, out=v)
        np.sqrt(v, out=spare)
        np.divide(spare, math.sqrt(1 - op.beta2**steps), out=spare)
        np.add(spare, op.eps, out=spare)
        np.divide(m, spare, out=spare)
        np.multiply(spare, op.lr / (1 - op.beta1**steps), out=spare)
        np.subtract(p, spare, out=p)

    def call() -> tuple[Tensor, ...]:
        nonlocal steps
        steps += 1
        for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
            step(p, g, m, v)
        return parameters

    return call
