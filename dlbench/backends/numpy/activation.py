"""Activation functions and their gradients as array expressions; of float16, computed in float32."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.activation import GELU_CUBIC, GELU_SCALE, Gelu, LeakyRelu
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
DTYPES = ("float32", "float64", "float16")
BACKWARD: tuple[Direction, ...] = ("backward",)


def wide(x: Tensor) -> np.dtype[Any]:
    """Return in which format intermediate results of the array are held: float32 at least."""
    return np.dtype(np.float64 if x.dtype == np.float64 else np.float32)


@implements("step", variant="native", dtypes=DTYPES)
def step(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """numpy.heaviside with 0 at 0."""
    y, zero = np.empty_like(x), x.dtype.type(0)
    return lambda: np.heaviside(x, zero, out=y)


@implements("relu", variant="native", dtypes=DTYPES)
def relu(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """numpy.maximum of x and 0."""
    y, zero = np.empty_like(x), x.dtype.type(0)
    return lambda: np.maximum(x, zero, out=y)


@implements("relu", variant="native", directions=BACKWARD, dtypes=DTYPES)
def relu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """dy times the mask of the positive x."""
    dx, positive, zero = np.empty_like(x), np.empty(x.shape, bool), x.dtype.type(0)

    def call() -> Tensor:
        np.greater(x, zero, out=positive)
        return np.multiply(dy, positive, out=dx)

    return call


@implements("leaky_relu", variant="native", dtypes=DTYPES)
def leaky_relu(problem: Problem, x: Tensor) -> Call:
    """The larger of x and its product with the slope, which is below 1."""
    y, slope = np.empty_like(x), _slope(problem, x)

    def call() -> Tensor:
        np.multiply(x, slope, out=y)
        return np.maximum(x, y, out=y)

    return call


@implements("leaky_relu", variant="native", directions=BACKWARD, dtypes=DTYPES)
def leaky_relu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dy times the slope, and dy itself where x is positive."""
    dx, positive, zero = np.empty_like(x), np.empty(x.shape, bool), x.dtype.type(0)
    slope = _slope(problem, x)

    def call() -> Tensor:
        np.multiply(dy, slope, out=dx)
        np.greater(x, zero, out=positive)
        np.copyto(dx, dy, where=positive)
        return dx

    return call


def _slope(problem: Problem, x: Tensor) -> Any:
    op = problem.op
    if not isinstance(op, LeakyRelu):
        raise TypeError(f"not a leaky ReLU: {op!r}")
    return wide(x).type(op.slope)


@implements("sigmoid", variant="native", dtypes=DTYPES)
def sigmoid(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """1 / (1 + exp(-x)), pass by pass."""
    y, below = np.empty_like(x), np.empty(x.shape, wide(x))

    def call() -> Tensor:
        _one_and_power(x, below)
        return np.divide(1, below, out=y)

    return call


@implements("sigmoid", variant="native", directions=BACKWARD, dtypes=DTYPES)
def sigmoid_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """dy y (1 - y)."""
    dx, held = np.empty_like(y), np.empty(y.shape, wide(y))

    def call() -> Tensor:
        np.subtract(1, y, out=held, dtype=held.dtype)
        np.multiply(held, y, out=held)
        return np.multiply(held, dy, out=dx)

    return call


@implements("tanh", variant="native", dtypes=DTYPES)
def tanh(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """numpy.tanh."""
    y = np.empty_like(x)
    return lambda: np.tanh(x, out=y)


@implements("tanh", variant="native", directions=BACKWARD, dtypes=DTYPES)
def tanh_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """dy (1 - y²)."""
    dx, held = np.empty_like(y), np.empty(y.shape, wide(y))

    def call() -> Tensor:
        np.multiply(y, y, out=held, dtype=held.dtype)
        np.subtract(1, held, out=held)
        return np.multiply(held, dy, out=dx)

    return call


@implements("silu", variant="native", dtypes=DTYPES)
def silu(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """x / (1 + exp(-x)), pass by pass."""
    y, below = np.empty_like(x), np.empty(x.shape, wide(x))

    def call() -> Tensor:
        _one_and_power(x, below)
        return np.divide(x, below, out=y)

    return call


@implements("silu", variant="native", directions=BACKWARD, dtypes=DTYPES)
def silu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """dy s (1 + x (1 - s)), s the logistic function."""
    dx = np.empty_like(x)
    s, slope = (np.empty(x.shape, wide(x)) for _ in range(2))

    def call() -> Tensor:
        _one_and_power(x, s)
        np.divide(1, s, out=s)
        np.subtract(1, s, out=slope)
        np.multiply(slope, x, out=slope)
        np.add(slope, 1, out=slope)
        np.multiply(slope, s, out=slope)
        return np.multiply(slope, dy, out=dx)

    return call


def _one_and_power(x: Tensor, out: Tensor) -> None:
    """Write 1 + exp(-x)."""
    np.negative(x, out=out, dtype=out.dtype)
    np.exp(out, out=out)
    np.add(out, 1, out=out)


@implements("gelu", variant="native", dtypes=DTYPES)
def gelu(problem: Problem, x: Tensor) -> Call:
    """x (1 + erf) / 2 or x (1 + tanh) / 2, pass by pass."""
    y, held = np.empty_like(x), np.empty(x.shape, wide(x))
    inner = _tangent if _by_tanh(problem) else _error_function()

    def call() -> Tensor:
        inner(x, held)
        np.add(held, 1, out=held)
        np.multiply(held, 0.5, out=held)
        return np.multiply(held, x, out=y)

    return call


@implements("gelu", variant="native", directions=BACKWARD, dtypes=DTYPES)
def gelu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dy times the derivative of the problem's form, pass by pass."""
    dx = np.empty_like(x)
    inner, slope, held = (np.empty(x.shape, wide(x)) for _ in range(3))
    by_tanh, error_function = _by_tanh(problem), _error_function()

    def call() -> Tensor:
        if by_tanh:
            _tangent(x, inner)
            _tangent_slope(x, inner, held, slope)
        else:
            error_function(x, inner)
            _error_slope(x, slope)
        np.multiply(slope, x, out=slope)
        np.add(inner, 1, out=inner)
        np.add(inner, slope, out=inner)
        np.multiply(inner, 0.5, out=inner)
        return np.multiply(inner, dy, out=dx)

    return call


def _by_tanh(problem: Problem) -> bool:
    op = problem.op
    if not isinstance(op, Gelu):
        raise TypeError(f"not a GELU: {op!r}")
    return op.approximate


def _error_function() -> Callable[[Tensor, Tensor], None]:
    """Return what writes erf(x / sqrt 2)."""
    from scipy.special import erf  # a worker of other cases does not wait for it

    def write(x: Tensor, out: Tensor) -> None:
        np.multiply(x, math.sqrt(1 / 2), out=out, dtype=out.dtype)
        erf(out, out=out)

    return write


def _error_slope(x: Tensor, out: Tensor) -> None:
    """Write the derivative of erf(x / sqrt 2): sqrt(2 / π) exp(-x² / 2)."""
    np.multiply(x, x, out=out, dtype=out.dtype)
    np.multiply(out, -0.5, out=out)
    np.exp(out, out=out)
    np.multiply(out, math.sqrt(2 / math.pi), out=out)


def _tangent(x: Tensor, out: Tensor) -> None:
    """Write tanh(u), u = sqrt(2 / π) (x + 0.044715 x³)."""
    np.multiply(x, x, out=out, dtype=out.dtype)
    np.multiply(out, GELU_SCALE * GELU_CUBIC, out=out)
    np.add(out, GELU_SCALE, out=out)
    np.multiply(out, x, out=out)
    np.tanh(out, out=out)


def _tangent_slope(x: Tensor, tangent: Tensor, held: Tensor, out: Tensor) -> None:
    """Write the derivative of tanh(u), (1 - tanh²(u)) u'."""
    np.multiply(x, x, out=held, dtype=held.dtype)
    np.multiply(held, 3 * GELU_SCALE * GELU_CUBIC, out=held)
    np.add(held, GELU_SCALE, out=held)
    np.multiply(tangent, tangent, out=out)
    np.subtract(1, out, out=out)
    np.multiply(out, held, out=out)
