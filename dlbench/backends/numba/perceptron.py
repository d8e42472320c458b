"""Training steps as loops on one core."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.perceptron import MlpStep, PerceptronStep
from dlbench.ops.problem import Problem
from dlbench.ops.training import LEARNING_RATE
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
DIRECTIONS: Any = ("forward_backward",)


@njit(cache=True)
def _layer(x, w, b, z, rectified):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            total = b[j]
            for k in range(x.shape[1]):
                total += x[i, k] * w[j, k]
            z[i, j] = 0 if rectified and total < 0 else total


@njit(cache=True)
def _gradients(error, x, dw, db):  # type: ignore[no-untyped-def]  # numba infers the types
    dw[...] = 0
    db[...] = 0
    for i in range(error.shape[0]):
        for j in range(error.shape[1]):
            db[j] += error[i, j]
            for k in range(x.shape[1]):
                dw[j, k] += error[i, j] * x[i, k]


@njit(cache=True)
def _back(error, w, x, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    dx[...] = 0
    for i in range(error.shape[0]):
        for j in range(error.shape[1]):
            for k in range(x.shape[1]):
                if x[i, k] > 0:
                    dx[i, k] += error[i, j] * w[j, k]


@njit(cache=True)
def _descend(w, dw, after, rate):  # type: ignore[no-untyped-def]  # numba infers the types
    flat, slope, out = w.reshape(-1), dw.reshape(-1), after.reshape(-1)
    for i in range(out.size):
        out[i] = flat[i] - rate * slope[i]


@njit(cache=True)
def _logistic(z, t, error):  # type: ignore[no-untyped-def]  # numba infers the types
    n = z.dtype.type(z.shape[0])
    one = z.dtype.type(1)
    loss = z.dtype.type(0)
    for i in range(z.shape[0]):
        for j in range(z.shape[1]):
            p = one / (one + np.exp(-z[i, j]))
            off = p - t[i, j]
            loss += off * off
            error[i, j] = off * p * (one - p) / n
    return loss / (2 * n)


@njit(cache=True)
def _cross_entropy(z, labels, error):  # type: ignore[no-untyped-def]  # numba infers the types
    n = z.dtype.type(z.shape[0])
    loss = z.dtype.type(0)
    for i in range(z.shape[0]):
        largest = z[i, 0]
        for j in range(z.shape[1]):
            largest = max(largest, z[i, j])
        total = z.dtype.type(0)
        for j in range(z.shape[1]):
            error[i, j] = np.exp(z[i, j] - largest)
            total += error[i, j]
        loss += np.log(total) - (z[i, labels[i]] - largest)
        for j in range(z.shape[1]):
            error[i, j] /= total * n
        error[i, labels[i]] -= z.dtype.type(1) / n
    return loss / n


class Layers:
    """Fully connected layers with rectifiers between them, their gradients, and the step; weights are w1, b1, w2, …"""

    def __init__(self, n: int, weights: Sequence[Tensor]) -> None:
        self.weights = weights
        self.values = [np.empty((n, bias.size), bias.dtype) for bias in weights[1::2]]
        self.errors = [np.empty_like(value) for value in self.values]
        self.gradients = [np.empty_like(weight) for weight in weights]
        self.after = [np.empty_like(weight) for weight in weights]
        self.loss = np.empty((), weights[0].dtype)
        self.rate = weights[0].dtype.type(LEARNING_RATE)

    def forward(self, x: Tensor) -> Tensor:
        """Return what the last layer puts out."""
        for layer, z in enumerate(self.values):
            w, b = self.weights[2 * layer : 2 * layer + 2]
            _layer(x, w, b, z, z is not self.values[-1])
            x = z
        return x

    def step(self, x: Tensor, loss: Any) -> tuple[Tensor, ...]:
        """Go back from the last layer's error, which is there already, and return the loss, gradients and weights."""
        self.loss[...] = loss
        for layer in reversed(range(len(self.values))):
            given = self.values[layer - 1] if layer else x
            _gradients(self.errors[layer], given, *self.gradients[2 * layer : 2 * layer + 2])
            if layer:
                _back(self.errors[layer], self.weights[2 * layer], given, self.errors[layer - 1])
        for w, dw, after in zip(self.weights, self.gradients, self.after, strict=True):
            _descend(w, dw, after, self.rate)
        return (self.loss, *self.gradients, *self.after)


@implements("perceptron_step", variant="naive", directions=DIRECTIONS)
def perceptron(problem: Problem, x: Tensor, t: Tensor, w: Tensor, b: Tensor) -> Call:
    """Loops over rows, units and inputs."""
    if not isinstance(problem.op, PerceptronStep):
        raise TypeError(f"not a perceptron: {problem.op!r}")
    layers = Layers(problem.op.n, (w, b))
    return lambda: layers.step(x, _logistic(layers.forward(x), t, layers.errors[-1]))


@implements("mlp_step", variant="naive", directions=DIRECTIONS)
def mlp(problem: Problem, x: Tensor, labels: Tensor, *weights: Tensor) -> Call:
    """Loops over rows, units and inputs, layer by layer."""
    if not isinstance(problem.op, MlpStep):
        raise TypeError(f"not a multi-layer perceptron: {problem.op!r}")
    layers = Layers(problem.op.n, weights)
    return lambda: layers.step(x, _cross_entropy(layers.forward(x), labels, layers.errors[-1]))
