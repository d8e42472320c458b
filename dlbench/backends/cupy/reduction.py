"""Reductions of rows by cupy, and sums by kernels of one's own."""

from __future__ import annotations

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import KERNEL_DTYPES, Tensor, kernel_call, only, outputs_of
from dlbench.backends.cupy.softmax import wide
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

LIBRARY_DTYPES = ("float32", "float64", "float16")


@implements("sum", variant="library", dtypes=LIBRARY_DTYPES)
def library(problem: Problem, x: Tensor) -> Call:
    """cupy.sum, which adds float16 up in float32."""
    y = only(outputs_of(problem))

    def call() -> Tensor:
        cupy.sum(x, axis=-1, out=y)
        return y

    return call


@implements("mean", variant="library", dtypes=LIBRARY_DTYPES)
def means(problem: Problem, x: Tensor) -> Call:
    """cupy.mean, which adds float16 up in float32."""
    y = only(outputs_of(problem))

    def call() -> Tensor:
        cupy.mean(x, axis=-1, out=y)
        return y

    return call


@implements("norm2", variant="library", dtypes=LIBRARY_DTYPES)
def norms(problem: Problem, x: Tensor) -> Call:
    """The squares, their sums and the roots, each into memory of its own; float16 is squared and added up in float32."""
    y, dtype = only(outputs_of(problem)), wide(problem.dtype)
    squares, totals = cupy.empty(x.shape, dtype), cupy.empty(y.shape, dtype)

    def call() -> Tensor:
        cupy.multiply(x, x, out=squares, dtype=dtype)
        cupy.sum(squares, axis=-1, out=totals)
        cupy.sqrt(totals, out=totals)
        cupy.copyto(y, totals)
        return y

    return call


@implements("max", variant="library", dtypes=LIBRARY_DTYPES)
def maxima(problem: Problem, x: Tensor) -> Call:
    """cupy.max."""
    y = only(outputs_of(problem))

    def call() -> Tensor:
        cupy.max(x, axis=-1, out=y)
        return y

    return call


@implements("argmax", variant="library", dtypes=LIBRARY_DTYPES)
def argmaxima(problem: Problem, x: Tensor) -> Call:
    """cupy.argmax."""
    y = only(outputs_of(problem))

    def call() -> Tensor:
        cupy.argmax(x, axis=-1, out=y)
        return y

    return call


@implements("sum", variant="naive", dtypes=KERNEL_DTYPES)
def naive(problem: Problem, x: Tensor) -> Call:
    """A thread for each row."""
    return kernel_call(problem, "naive", x)


@implements("sum", variant="tiled", dtypes=KERNEL_DTYPES)
def tiled(problem: Problem, x: Tensor) -> Call:
    """A block for each row."""
    return kernel_call(problem, "tiled", x)
