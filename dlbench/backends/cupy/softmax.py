"""softmax and log_softmax as array operations and by kernels of one's own."""

from __future__ import annotations

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import KERNEL_DTYPES, Tensor, kernel_call
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

LIBRARY_DTYPES = ("float32", "float64", "float16")


def wide(dtype: str) -> str:
    """Return in which format sums of the dtype are held: float32 at least."""
    return "float64" if dtype == "float64" else "float32"


@implements("softmax", variant="library", dtypes=LIBRARY_DTYPES)
def softmax(problem: Problem, x: Tensor) -> Call:
    """The largest, the exponentials, their sum and the division: cupy's operations, each into a buffer of its own."""
    return softmax_call(problem.dtype, x, cupy.empty_like(x))


def softmax_call(dtype: str, x: Tensor, y: Tensor) -> Call:
    """Return a call that writes the softmax of x over the last axis into y, which may be x."""
    powers = cupy.empty(x.shape, wide(dtype))
    largest = cupy.empty((*x.shape[:-1], 1), x.dtype)
    total = cupy.empty(largest.shape, powers.dtype)

    def call() -> Tensor:
        cupy.max(x, axis=-1, keepdims=True, out=largest)
        cupy.subtract(x, largest, out=powers, dtype=powers.dtype)
        cupy.exp(powers, out=powers)
        cupy.sum(powers, axis=-1, keepdims=True, out=total)
        cupy.divide(powers, total, out=y)
        return y

    return call


@implements("softmax", variant="library", directions=("backward",), dtypes=LIBRARY_DTYPES)
def softmax_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:
    """The products y dy, their sum, its subtraction and the product with y."""
    dx, held = cupy.empty_like(y), cupy.empty(y.shape, wide(problem.dtype))
    total = cupy.empty((*y.shape[:-1], 1), held.dtype)

    def call() -> Tensor:
        cupy.multiply(y, dy, out=held, dtype=held.dtype)
        cupy.sum(held, axis=-1, keepdims=True, out=total)
        cupy.subtract(dy, total, out=held)
        cupy.multiply(held, y, out=dx)
        return dx

    return call


@implements("log_softmax", variant="library", dtypes=LIBRARY_DTYPES)
def log_softmax(problem: Problem, x: Tensor) -> Call:
    """The shifted row less the logarithm of the sum of its exponentials."""
    y = cupy.empty_like(x)
    shifted, powers = (cupy.empty(x.shape, wide(problem.dtype)) for _ in range(2))
    largest = cupy.empty((*x.shape[:-1], 1), x.dtype)
    total = cupy.empty(largest.shape, powers.dtype)

    def call() -> Tensor:
        cupy.max(x, axis=-1, keepdims=True, out=largest)
        cupy.subtract(x, largest, out=shifted, dtype=shifted.dtype)
        cupy.exp(shifted, out=powers)
        cupy.sum(powers, axis=-1, keepdims=True, out=total)
        cupy.log(total, out=total)
        cupy.subtract(shifted, total, out=y)
        return y

    return call


@implements("log_softmax", variant="library", directions=("backward",), dtypes=LIBRARY_DTYPES)
def log_softmax_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:
    """The sum of dy, the exponentials, their product with it and its subtraction."""
    dx, held = cupy.empty_like(y), cupy.empty(y.shape, wide(problem.dtype))
    total = cupy.empty((*y.shape[:-1], 1), held.dtype)

    def call() -> Tensor:
        cupy.sum(dy, axis=-1, keepdims=True, out=total, dtype=total.dtype)
        cupy.exp(y, out=held, dtype=held.dtype)
        cupy.multiply(held, total, out=held)
        cupy.subtract(dy, held, out=dx)
        return dx

    return call


@implements("softmax", variant="naive", dtypes=KERNEL_DTYPES)
@implements("log_softmax", variant="naive", dtypes=KERNEL_DTYPES)
def naive(problem: Problem, x: Tensor) -> Call:
    """A thread for each row."""
    return kernel_call(problem, "naive", x)


@implements("softmax", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("log_softmax", variant="tiled", dtypes=KERNEL_DTYPES)
def tiled(problem: Problem, x: Tensor) -> Call:
    """A block for each row."""
    return kernel_call(problem, "tiled", x)
