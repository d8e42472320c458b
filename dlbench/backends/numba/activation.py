"""Activation functions and their gradients as loops on one core."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.activation import GELU_CUBIC, GELU_SCALE, Gelu, LeakyRelu
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
BACKWARD: tuple[Direction, ...] = ("backward",)
INVERSE_ROOT = math.sqrt(1 / 2)
DENSITY = 1 / math.sqrt(2 * math.pi)
"""Of the normal distribution at 0."""


@njit(cache=True)
def _step(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.size):
        y[i] = x[i] > 0
    return y


@njit(cache=True)
def _relu(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    zero = y.dtype.type(0)
    for i in range(y.size):
        y[i] = max(x[i], zero)
    return y


@njit(cache=True)
def _leaky_relu(x, slope, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.size):
        y[i] = x[i] if x[i] > 0 else slope * x[i]
    return y


@njit(cache=True)
def _leaky_relu_backward(x, dy, slope, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(dx.size):
        dx[i] = dy[i] if x[i] > 0 else slope * dy[i]
    return dx


@njit(cache=True)
def _sigmoid(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    one = y.dtype.type(1)
    for i in range(y.size):
        y[i] = one / (one + np.exp(-x[i]))
    return y


@njit(cache=True)
def _sigmoid_backward(y, dy, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    one = dx.dtype.type(1)
    for i in range(dx.size):
        dx[i] = dy[i] * y[i] * (one - y[i])
    return dx


@njit(cache=True)
def _tanh(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.size):
        y[i] = np.tanh(x[i])
    return y


@njit(cache=True)
def _tanh_backward(y, dy, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    one = dx.dtype.type(1)
    for i in range(dx.size):
        dx[i] = dy[i] * (one - y[i] * y[i])
    return dx


@njit(cache=True)
def _silu(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    one = y.dtype.type(1)
    for i in range(y.size):
        y[i] = x[i] / (one + np.exp(-x[i]))
    return y


@njit(cache=True)
def _silu_backward(x, dy, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    one = dx.dtype.type(1)
    for i in range(dx.size):
        s = one / (one + np.exp(-x[i]))
        dx[i] = dy[i] * s * (one + x[i] * (one - s))
    return dx


@njit(cache=True)
def _gelu(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    number = y.dtype.type
    one, half, root = number(1), number(0.5), number(INVERSE_ROOT)
    for i in range(y.size):
        y[i] = half * x[i] * (one + number(math.erf(root * x[i])))
    return y


@njit(cache=True)
def _gelu_backward(x, dy, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    number = dx.dtype.type
    one, half, root, density = number(1), number(0.5), number(INVERSE_ROOT), number(DENSITY)
    for i in range(dx.size):
        share = half * (one + number(math.erf(root * x[i])))
        dx[i] = dy[i] * (share + x[i] * density * np.exp(-half * x[i] * x[i]))
    return dx


@njit(cache=True)
def _gelu_tanh(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    number = y.dtype.type
    one, half, scale, cubic = number(1), number(0.5), number(GELU_SCALE), number(GELU_CUBIC)
    for i in range(y.size):
        y[i] = half * x[i] * (one + np.tanh(scale * (x[i] + cubic * x[i] * x[i] * x[i])))
    return y


@njit(cache=True)
def _gelu_tanh_backward(x, dy, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    number = dx.dtype.type
    one, half, scale, cubic = number(1), number(0.5), number(GELU_SCALE), number(GELU_CUBIC)
    three = number(3)
    for i in range(dx.size):
        square = x[i] * x[i]
        tangent = np.tanh(scale * x[i] * (one + cubic * square))
        slope = scale * (one + three * cubic * square)
        dx[i] = dy[i] * half * (one + tangent + x[i] * (one - tangent * tangent) * slope)
    return dx


@implements("step", variant="naive")
def step(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """1 for each positive x."""
    return partial(_step, x, np.empty_like(x))


@implements("relu", variant="naive")
def relu(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The larger of x and 0."""
    return partial(_relu, x, np.empty_like(x))


@implements("relu", variant="naive", directions=BACKWARD)
def relu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """dy where x is positive: that of a leaky one whose slope is 0."""
    return partial(_leaky_relu_backward, x, dy, x.dtype.type(0), np.empty_like(x))


@implements("leaky_relu", variant="naive")
def leaky_relu(problem: Problem, x: Tensor) -> Call:
    """x or its product with the slope."""
    return partial(_leaky_relu, x, _slope(problem, x), np.empty_like(x))


@implements("leaky_relu", variant="naive", directions=BACKWARD)
def leaky_relu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dy or its product with the slope."""
    return partial(_leaky_relu_backward, x, dy, _slope(problem, x), np.empty_like(x))


def _slope(problem: Problem, x: Tensor) -> Any:
    op = problem.op
    if not isinstance(op, LeakyRelu):
        raise TypeError(f"not a leaky ReLU: {op!r}")
    return x.dtype.type(op.slope)


@implements("sigmoid", variant="naive")
def sigmoid(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """1 / (1 + exp(-x))."""
    return partial(_sigmoid, x, np.empty_like(x))


@implements("sigmoid", variant="naive", directions=BACKWARD)
def sigmoid_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """dy y (1 - y)."""
    return partial(_sigmoid_backward, y, dy, np.empty_like(y))


@implements("tanh", variant="naive")
def tanh(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The C library's tanh of each element."""
    return partial(_tanh, x, np.empty_like(x))


@implements("tanh", variant="naive", directions=BACKWARD)
def tanh_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """dy (1 - y²)."""
    return partial(_tanh_backward, y, dy, np.empty_like(y))


@implements("silu", variant="naive")
def silu(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """x / (1 + exp(-x))."""
    return partial(_silu, x, np.empty_like(x))


@implements("silu", variant="naive", directions=BACKWARD)
def silu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """dy s (1 + x (1 - s)), s the logistic function."""
    return partial(_silu_backward, x, dy, np.empty_like(x))


@implements("gelu", variant="naive")
def gelu(problem: Problem, x: Tensor) -> Call:
    """The C library's erf or tanh of each element."""
    return partial(_gelu_tanh if _by_tanh(problem) else _gelu, x, np.empty_like(x))


@implements("gelu", variant="naive", directions=BACKWARD)
def gelu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dy times the derivative of the problem's form."""
    return partial(_gelu_tanh_backward if _by_tanh(problem) else _gelu_backward, x, dy, np.empty_like(x))


def _by_tanh(problem: Problem) -> bool:
    op = problem.op
    if not isinstance(op, Gelu):
        raise TypeError(f"not a GELU: {op!r}")
    return op.approximate
