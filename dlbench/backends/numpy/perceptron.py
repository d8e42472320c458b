"""Training steps by BLAS and array expressions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.perceptron import MlpStep, PerceptronStep
from dlbench.ops.problem import Problem
from dlbench.ops.training import LEARNING_RATE
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
DIRECTIONS: Any = ("forward_backward",)


class Layers:
    """Fully connected layers with rectifiers between them, and their gradients; weights are w1, b1, w2, …"""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self.weights = list(weights)
        self.rate = weights[0].dtype.type(LEARNING_RATE)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return x and what each layer puts out."""
        values = [x]
        depth = len(self.weights) // 2
        for layer in range(depth):
            z = values[-1] @ self.weights[2 * layer].T
            z += self.weights[2 * layer + 1]
            values.append(z if layer == depth - 1 else np.maximum(z, 0, out=z))
        return values

    def backward(self, values: Sequence[Tensor], error: Tensor) -> list[Tensor]:
        """Return the weights' gradients from that of the last layer's output."""
        gradients: list[Tensor] = []
        for layer in reversed(range(len(self.weights) // 2)):
            gradients[:0] = [error.T @ values[layer], error.sum(axis=0)]
            if layer:
                error = (error @ self.weights[2 * layer]) * (values[layer] > 0)
        return gradients

    def step(self, loss: Any, gradients: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return the loss, the gradients, and the weights after a step of gradient descent."""
        after = [w - self.rate * dw for w, dw in zip(self.weights, gradients, strict=True)]
        return (np.asarray(loss, self.weights[0].dtype), *gradients, *after)


@implements("perceptron_step", variant="library", directions=DIRECTIONS)
def perceptron(problem: Problem, x: Tensor, t: Tensor, w: Tensor, b: Tensor) -> Call:
    """Two products, and the logistic function by the hyperbolic tangent."""
    if not isinstance(problem.op, PerceptronStep):
        raise TypeError(f"not a perceptron: {problem.op!r}")
    layer, n, half = Layers((w, b)), x.dtype.type(problem.op.n), x.dtype.type(0.5)

    def call() -> tuple[Tensor, ...]:
        (_, z) = layer.forward(x)
        p = half * (1 + np.tanh(half * z))
        off = p - t
        error = off * p * (1 - p) / n
        return layer.step(np.square(off).sum() / (2 * n), layer.backward([x], error))

    return call


@implements("mlp_step", variant="library", directions=DIRECTIONS)
def mlp(problem: Problem, x: Tensor, labels: Tensor, *weights: Tensor) -> Call:
    """Products by BLAS, the loss and its gradient as array expressions."""
    if not isinstance(problem.op, MlpStep):
        raise TypeError(f"not a multi-layer perceptron: {problem.op!r}")
    layers, n, at = Layers(weights), x.dtype.type(problem.op.n), (np.arange(problem.op.n), labels)

    def call() -> tuple[Tensor, ...]:
        values = layers.forward(x)
        scores = values[-1] - values[-1].max(axis=1, keepdims=True)
        powers = np.exp(scores)
        total = powers.sum(axis=1, keepdims=True)
        loss = (np.log(total[:, 0]) - scores[at]).mean()
        error = powers / total
        error[at] -= 1
        error /= n
        return layers.step(loss, layers.backward(values, error))

    return call
