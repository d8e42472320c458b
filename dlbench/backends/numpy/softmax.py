"""softmax and log_softmax as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("softmax", variant="native")
def softmax(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """Three passes over each row, in place in the output."""
    y = np.empty_like(x)

    def call() -> Tensor:
        np.subtract(x, x.max(axis=-1, keepdims=True), out=y)
        np.exp(y, out=y)
        np.divide(y, y.sum(axis=-1, keepdims=True), out=y)
        return y

    return call


@implements("softmax", variant="native", directions=("backward",))
def softmax_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """y (dy - sum of y dy), in place in the output."""
    dx, total = np.empty_like(y), np.empty((*y.shape[:-1], 1), y.dtype)

    def call() -> Tensor:
        np.multiply(y, dy, out=dx)
        np.sum(dx, axis=-1, keepdims=True, out=total)
        np.subtract(dy, total, out=dx)
        return np.multiply(dx, y, out=dx)

    return call


@implements("log_softmax", variant="native")
def log_softmax(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The shifted row less the logarithm of the sum of its exponentials."""
    y, powers = np.empty_like(x), np.empty_like(x)

    def call() -> Tensor:
        np.subtract(x, x.max(axis=-1, keepdims=True), out=y)
        np.exp(y, out=powers)
        np.subtract(y, np.log(powers.sum(axis=-1, keepdims=True)), out=y)
        return y

    return call


@implements("log_softmax", variant="native", directions=("backward",))
def log_softmax_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """dy - exp(y) · sum of dy, in place in the output."""
    dx, total = np.empty_like(y), np.empty((*y.shape[:-1], 1), y.dtype)

    def call() -> Tensor:
        np.sum(dy, axis=-1, keepdims=True, out=total)
        np.exp(y, out=dx)
        np.multiply(dx, total, out=dx)
        return np.subtract(dy, dx, out=dx)

    return call
