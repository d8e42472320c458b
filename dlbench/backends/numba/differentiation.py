"""The gradient of a network in reverse mode as loops on one core."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.differentiation import NetworkGradient
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _layer(x, w, gate, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            total = y.dtype.type(0)
            for k in range(x.shape[1]):
                total += x[i, k] * w[j, k]
            y[i, j] = gate[i, j] * total


@njit(cache=True)
def _last_error(x, w, t, error):  # type: ignore[no-untyped-def]  # numba infers the types
    batch = t.dtype.type(t.shape[0])
    for i in range(error.shape[0]):
        for j in range(error.shape[1]):
            total = -t[i, j]
            for k in range(x.shape[1]):
                total += x[i, k] * w[j, k]
            error[i, j] = total / batch


@njit(cache=True)
def _back(error, w, gate, before):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(before.shape[0]):
        for k in range(before.shape[1]):
            total = error.dtype.type(0)
            for j in range(error.shape[1]):
                total += error[i, j] * w[j, k]
            before[i, k] = gate[i, k] * total


@njit(cache=True)
def _of_weight(error, x, dw):  # type: ignore[no-untyped-def]  # numba infers the types
    dw[...] = 0
    for i in range(error.shape[0]):
        for j in range(error.shape[1]):
            for k in range(x.shape[1]):
                dw[j, k] += error[i, j] * x[i, k]


@implements("network_gradient", variant="naive", directions=("forward_backward",))
def reverse(problem: Problem, *tensors: Tensor) -> Call:
    """Backpropagation: loops over rows, units and inputs, layer by layer up and down."""
    op = problem.op
    if not isinstance(op, NetworkGradient):
        raise TypeError(f"not the gradient of a network: {op!r}")
    x, t, weights, gates = op.parts(tensors)
    entering = [x, *(np.empty_like(gate) for gate in gates)]
    errors = [np.empty_like(t) for _ in weights]
    gradients = tuple(np.empty_like(weight) for weight in weights)

    def call() -> Any:
        for layer, gate in enumerate(gates):
            _layer(entering[layer], weights[layer], gate, entering[layer + 1])
        _last_error(entering[-1], weights[-1], t, errors[-1])
        for layer in reversed(range(len(weights))):
            _of_weight(errors[layer], entering[layer], gradients[layer])
            if layer:
                _back(errors[layer], weights[layer], gates[layer - 1], errors[layer - 1])
        return gradients if len(gradients) > 1 else gradients[0]

    return call
