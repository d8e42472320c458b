"""The gradient of a network by hand: in reverse mode, in forward mode and by finite differences."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.differentiation import NetworkGradient
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


class _Network:
    """The network, its data, and room for the gradients."""

    def __init__(self, problem: Problem, tensors: tuple[Tensor, ...]) -> None:
        op = problem.op
        if not isinstance(op, NetworkGradient):
            raise TypeError(f"not the gradient of a network: {op!r}")
        self.x, self.t, self.weights, self.gates = op.parts(tensors)
        self.gradients = tuple(np.empty_like(weight) for weight in self.weights)
        self.step = self.x.dtype.type(op.step)
        self.batch = self.x.dtype.type(op.batch)

    def entering(self) -> list[Tensor]:
        """Return what each layer takes in, and at the end what the last one puts out."""
        values = [self.x]
        for weight, gate in zip(self.weights, self.gates, strict=False):
            values.append(gate * (values[-1] @ weight.T))
        values.append(values[-1] @ self.weights[-1].T)
        return values

    def loss(self) -> Any:
        """Return E."""
        error = self.entering()[-1] - self.t
        return np.vdot(error, error) / (2 * self.batch)

    def after(self, layer: int, tangent: Tensor) -> Tensor:
        """Return the tangent of y that one of a layer's output before its gate leads to."""
        for gate, weight in zip(self.gates[layer:], self.weights[layer + 1 :], strict=True):
            tangent = (gate * tangent) @ weight.T
        return tangent


@implements("network_gradient", variant="vjp", directions=("forward_backward",))
def reverse(problem: Problem, *tensors: Tensor) -> Call:
    """Backpropagation: one pass up, and one down with two products a layer."""
    network = _Network(problem, tensors)

    def call() -> Any:
        *entering, y = network.entering()
        error = (y - network.t) / network.batch
        for layer in reversed(range(len(network.weights))):
            np.matmul(error.T, entering[layer], out=network.gradients[layer])
            if layer:
                error = network.gates[layer - 1] * (error @ network.weights[layer])
        return _several(network.gradients)

    return call


@implements("network_gradient", variant="jvp", directions=("forward_backward",))
def forward(problem: Problem, *tensors: Tensor) -> Call:
    """Each weight's tangent carried up through the layers: a pass for each weight, of values and of tangents."""
    network = _Network(problem, tensors)

    def call() -> Any:
        for layer, gradient in enumerate(network.gradients):
            for row, column in np.ndindex(gradient.shape):
                gradient[row, column] = _derivative(network, layer, row, column)
        return _several(network.gradients)

    return call


def _derivative(network: _Network, layer: int, row: int, column: int) -> Any:
    """Return the derivative of E in one weight: the direction is a matrix like any other, of which all but one are 0."""
    *entering, y = network.entering()
    way = np.zeros_like(network.weights[layer])
    way[row, column] = 1
    tangent = network.after(layer, entering[layer] @ way.T)
    return np.vdot(y - network.t, tangent) / network.batch


@implements("network_gradient", variant="finite_differences", directions=("forward_backward",))
def differences(problem: Problem, *tensors: Tensor) -> Call:
    """E at both sides of each weight: two passes for each."""
    network = _Network(problem, tensors)
    network.weights = [weight.copy() for weight in network.weights]

    def call() -> Any:
        for weight, gradient in zip(network.weights, network.gradients, strict=True):
            for place in np.ndindex(gradient.shape):
                there = weight[place]
                weight[place] = there + network.step
                above = network.loss()
                weight[place] = there - network.step
                gradient[place] = (above - network.loss()) / (2 * network.step)
                weight[place] = there
        return _several(network.gradients)

    return call


def _several(gradients: tuple[Tensor, ...]) -> Any:
    return gradients[0] if len(gradients) == 1 else gradients
