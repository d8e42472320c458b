"""Steps of optimizers as loops on one core, in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.optimizer import Adam, Sgd
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _sgd(p, g, u, rates):  # type: ignore[no-untyped-def]  # numba infers the types
    lr, momentum, weight_decay = rates
    for i in range(len(p)):
        u[i] = momentum * u[i] + (g[i] + weight_decay * p[i])
        p[i] -= lr * u[i]


@njit(cache=True)
def _sgd_alone(p, g, rates):  # type: ignore[no-untyped-def]  # numba infers the types
    lr, _, weight_decay = rates
    for i in range(len(p)):
        p[i] -= lr * (g[i] + weight_decay * p[i])


@njit(cache=True)
def _adam(p, g, m, v, rates, step_size, correction):  # type: ignore[no-untyped-def]  # numba infers the types
    beta1, beta2, rest1, rest2, eps, weight_decay = rates
    for i in range(len(p)):
        decayed = g[i] + weight_decay * p[i]
        m[i] = beta1 * m[i] + rest1 * decayed
        v[i] = beta2 * v[i] + rest2 * decayed * decayed
        p[i] -= step_size * m[i] / (np.sqrt(v[i]) / correction + eps)


def _own(tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return copies of the parameters, and the gradients."""
    half = len(tensors) // 2
    return tuple(p.copy() for p in tensors[:half]), tensors[half:]


@implements("sgd", variant="naive")
def sgd(problem: Problem, *tensors: Tensor) -> Call:
    """One pass over each parameter, its gradient and its state."""
    op = problem.op
    if not isinstance(op, Sgd):
        raise TypeError(f"not sgd: {op!r}")
    parameters, gradients = _own(tensors)
    rates = tuple(map(parameters[0].dtype.type, (op.lr, op.momentum, op.weight_decay)))
    sums = [np.zeros_like(p) for p in parameters] if op.momentum else []

    def with_momentum() -> tuple[Tensor, ...]:
        for p, g, u in zip(parameters, gradients, sums, strict=True):
            _sgd(p, g, u, rates)
        return parameters

    def without() -> tuple[Tensor, ...]:
        for p, g in zip(parameters, gradients, strict=True):
            _sgd_alone(p, g, rates)
        return parameters

    return with_momentum if op.momentum else without


@implements("adam", variant="naive")
def adam(problem: Problem, *tensors: Tensor) -> Call:
    """One pass over each parameter, its gradient and its state."""
    op = problem.op
    if not isinstance(op, Adam):
        raise TypeError(f"not adam: {op!r}")
    parameters, gradients = _own(tensors)
    number = parameters[0].dtype.type
    numbers = (op.beta1, op.beta2, 1 - op.beta1, 1 - op.beta2, op.eps, op.weight_decay)
    rates = tuple(map(number, numbers))
    means, squares = ([np.zeros_like(p) for p in parameters] for _ in range(2))
    steps = 0

    def call() -> tuple[Tensor, ...]:
        nonlocal steps
        steps += 1
        step_size = number(op.lr / (1 - op.beta1**steps))
        correction = number(math.sqrt(1 - op.beta2**steps))
        for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
            _adam(p, g, m, v, rates, step_size, correction)
        return parameters

    return call
