"""Activation functions and their gradients in one pass, by kernels that cupy makes of an expression, and by our own."""

from __future__ import annotations

import math

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.expression import one_pass
from dlbench.backends.cupy.programs import KERNEL_DTYPES, Tensor, kernel_call
from dlbench.backends.cupy.softmax import LIBRARY_DTYPES
from dlbench.ops.activation import GELU_CUBIC, GELU_SCALE, Gelu, LeakyRelu
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

BACKWARD: tuple[Direction, ...] = ("backward",)


@implements("step", variant="library", dtypes=LIBRARY_DTYPES)
def step(problem: Problem, x: Tensor) -> Call:
    """Whether x is positive, as a number."""
    return one_pass(problem, "x > 0", x)


@implements("relu", variant="library", dtypes=LIBRARY_DTYPES)
def relu(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """cupy.maximum of x and 0."""
    y, zero = cupy.empty_like(x), x.dtype.type(0)
    return lambda: cupy.maximum(x, zero, out=y)


@implements("relu", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def relu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dy where x is positive."""
    return one_pass(problem, "dy * (x > 0)", x, dy)


@implements("leaky_relu", variant="library", dtypes=LIBRARY_DTYPES)
def leaky_relu(problem: Problem, x: Tensor) -> Call:
    """x, times the slope where it is not positive."""
    return one_pass(problem, "x * ((x > 0) + (x <= 0) * slope)", x, slope=_slope(problem))


@implements("leaky_relu", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def leaky_relu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dy, times the slope where x is not positive."""
    return one_pass(problem, "dy * ((x > 0) + (x <= 0) * slope)", x, dy, slope=_slope(problem))


def _slope(problem: Problem) -> float:
    op = problem.op
    if not isinstance(op, LeakyRelu):
        raise TypeError(f"not a leaky ReLU: {op!r}")
    return op.slope


@implements("sigmoid", variant="library", dtypes=LIBRARY_DTYPES)
def sigmoid(problem: Problem, x: Tensor) -> Call:
    """1 / (1 + exp(-x))."""
    return one_pass(problem, "1 / (1 + exp(-x))", x)


@implements("sigmoid", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def sigmoid_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:
    """dy y (1 - y)."""
    return one_pass(problem, "dy * y * (1 - y)", y, dy)


@implements("tanh", variant="library", dtypes=LIBRARY_DTYPES)
def tanh(problem: Problem, x: Tensor) -> Call:
    """CUDA's tanh."""
    return one_pass(problem, "tanh(x)", x)


@implements("tanh", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def tanh_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:
    """dy (1 - y²)."""
    return one_pass(problem, "dy * (1 - y * y)", y, dy)


@implements("silu", variant="library", dtypes=LIBRARY_DTYPES)
def silu(problem: Problem, x: Tensor) -> Call:
    """x / (1 + exp(-x))."""
    return one_pass(problem, "x / (1 + exp(-x))", x)


@implements("silu", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def silu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dy s (1 + x (1 - s)), s the logistic function, which the compiler computes once."""
    s = "(1 / (1 + exp(-x)))"
    return one_pass(problem, f"dy * {s} * (1 + x * (1 - {s}))", x, dy)


@implements("gelu", variant="library", dtypes=LIBRARY_DTYPES)
def gelu(problem: Problem, x: Tensor) -> Call:
    """x times half of 1 + CUDA's erf or tanh."""
    if _by_tanh(problem):
        tangent = "tanh(scale * x * (1 + cubic * x * x))"
        return one_pass(problem, f"x * (1 + {tangent}) / 2", x, scale=GELU_SCALE, cubic=GELU_CUBIC)
    return one_pass(problem, "x * (1 + erf(root * x)) / 2", x, root=math.sqrt(1 / 2))


@implements("gelu", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def gelu_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dy times the derivative; what stands in it twice, the compiler computes once."""
    if _by_tanh(problem):
        tangent = "tanh(scale * x * (1 + cubic * x * x))"
        slope = f"x * (1 - {tangent} * {tangent}) * scale * (1 + 3 * cubic * x * x)"
        return one_pass(
            problem, f"dy * (1 + {tangent} + {slope}) / 2", x, dy, scale=GELU_SCALE, cubic=GELU_CUBIC
        )
    derivative = "(1 + erf(root * x)) / 2 + x * density * exp(-x * x / 2)"
    density = 1 / math.sqrt(2 * math.pi)
    return one_pass(problem, f"dy * ({derivative})", x, dy, root=math.sqrt(1 / 2), density=density)


def _by_tanh(problem: Problem) -> bool:
    op = problem.op
    if not isinstance(op, Gelu):
        raise TypeError(f"not a GELU: {op!r}")
    return op.approximate


@implements("step", variant="naive", dtypes=KERNEL_DTYPES)
@implements("relu", variant="naive", dtypes=KERNEL_DTYPES)
@implements("leaky_relu", variant="naive", dtypes=KERNEL_DTYPES)
@implements("sigmoid", variant="naive", dtypes=KERNEL_DTYPES)
@implements("tanh", variant="naive", dtypes=KERNEL_DTYPES)
@implements("silu", variant="naive", dtypes=KERNEL_DTYPES)
@implements("gelu", variant="naive", dtypes=KERNEL_DTYPES)
def naive(problem: Problem, x: Tensor) -> Call:
    """A thread for each element."""
    return kernel_call(problem, "naive", x)


@implements("step", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("relu", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("leaky_relu", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("sigmoid", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("tanh", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("silu", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("gelu", variant="tiled", dtypes=KERNEL_DTYPES)
def tiled(problem: Problem, x: Tensor) -> Call:
    """16 bytes for each thread."""
    return kernel_call(problem, "tiled", x)
