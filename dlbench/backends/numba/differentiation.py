"""The gradient of a network as loops on one core: in reverse mode, in forward mode and by finite differences."""

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


@njit(cache=True)
def _values(weights, gates, values):  # type: ignore[no-untyped-def]  # numba infers the types
    layers, batch, width = weights.shape[0], values.shape[1], values.shape[2]
    for layer in range(layers):
        for i in range(batch):
            for j in range(width):
                total = values.dtype.type(0)
                for k in range(width):
                    total += values[layer, i, k] * weights[layer, j, k]
                values[layer + 1, i, j] = total if layer == layers - 1 else gates[layer, i, j] * total


@njit(cache=True)
def _tangents(weights, ways, gates, values, tangents):  # type: ignore[no-untyped-def]  # numba infers the types
    layers, batch, width = weights.shape[0], values.shape[1], values.shape[2]
    for layer in range(layers):
        for i in range(batch):
            for j in range(width):
                total = values.dtype.type(0)
                for k in range(width):
                    total += (
                        values[layer, i, k] * ways[layer, j, k] + tangents[layer, i, k] * weights[layer, j, k]
                    )
                tangents[layer + 1, i, j] = total if layer == layers - 1 else gates[layer, i, j] * total


@njit(cache=True)
def _loss(t, weights, gates, values):  # type: ignore[no-untyped-def]  # numba infers the types
    _values(weights, gates, values)
    total = t.dtype.type(0)
    for i in range(t.shape[0]):
        row = t.dtype.type(0)
        for j in range(t.shape[1]):
            error = values[-1, i, j] - t[i, j]
            row += error * error
        total += row
    return total / t.dtype.type(2 * t.shape[0])


@njit(cache=True)
def _slope(t, values, tangents):  # type: ignore[no-untyped-def]  # numba infers the types
    total = t.dtype.type(0)
    for i in range(t.shape[0]):
        row = t.dtype.type(0)
        for j in range(t.shape[1]):
            row += (values[-1, i, j] - t[i, j]) * tangents[-1, i, j]
        total += row
    return total / t.dtype.type(t.shape[0])


@njit(cache=True)
def _by_tangents(t, weights, gates, values, tangents, ways, gradients):  # type: ignore[no-untyped-def]  # as above
    for layer in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            for k in range(weights.shape[2]):
                ways[layer, j, k] = 1
                _values(weights, gates, values)
                _tangents(weights, ways, gates, values, tangents)
                gradients[layer, j, k] = _slope(t, values, tangents)
                ways[layer, j, k] = 0


@njit(cache=True)
def _by_differences(t, weights, gates, values, step, gradients):  # type: ignore[no-untyped-def]  # as above
    for layer in range(weights.shape[0]):
        for j in range(weights.shape[1]):
            for k in range(weights.shape[2]):
                there = weights[layer, j, k]
                weights[layer, j, k] = there + step
                above = _loss(t, weights, gates, values)
                weights[layer, j, k] = there - step
                gradients[layer, j, k] = (above - _loss(t, weights, gates, values)) / (step + step)
                weights[layer, j, k] = there


class _Pile:
    """The network with its layers one upon another in one array: copies of the weights and gates, and room for the rest.

    `values` are what each layer takes in, and at the end what the last one puts out.
    """

    def __init__(self, problem: Problem, tensors: tuple[Tensor, ...]) -> None:
        self.op = _op(problem)
        x, self.t, weights, gates = self.op.parts(tensors)
        self.weights = np.stack(weights)
        self.gates = np.stack(gates) if gates else np.empty((0, *x.shape), x.dtype)
        self.values = np.zeros((len(weights) + 1, *x.shape), x.dtype)
        self.values[0] = x
        self.gradients = np.empty_like(self.weights)

    @property
    def found(self) -> Any:
        """The gradient of each layer."""
        return tuple(self.gradients) if len(self.gradients) > 1 else self.gradients[0]


def _op(problem: Problem) -> NetworkGradient:
    if not isinstance(problem.op, NetworkGradient):
        raise TypeError(f"not the gradient of a network: {problem.op!r}")
    return problem.op


@implements("network_gradient", variant="jvp", directions=("forward_backward",))
def forward(problem: Problem, *tensors: Tensor) -> Call:
    """A pass of values and tangents for each weight."""
    pile = _Pile(problem, tensors)
    ways, tangents = np.zeros_like(pile.weights), np.zeros_like(pile.values)

    def call() -> Any:
        _by_tangents(pile.t, pile.weights, pile.gates, pile.values, tangents, ways, pile.gradients)
        return pile.found

    return call


@implements("network_gradient", variant="finite_differences", directions=("forward_backward",))
def differences(problem: Problem, *tensors: Tensor) -> Call:
    """E at both sides of each weight: two passes for each."""
    pile = _Pile(problem, tensors)
    step = pile.t.dtype.type(pile.op.step)

    def call() -> Any:
        _by_differences(pile.t, pile.weights, pile.gates, pile.values, step, pile.gradients)
        return pile.found

    return call


@implements("network_gradient", variant="naive", directions=("forward_backward",))
def reverse(problem: Problem, *tensors: Tensor) -> Call:
    """Backpropagation: loops over rows, units and inputs, layer by layer up and down."""
    x, t, weights, gates = _op(problem).parts(tensors)
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
