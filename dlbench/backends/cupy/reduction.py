"""Sums of rows by cupy and by kernels of one's own."""

from __future__ import annotations

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import KERNEL_DTYPES, Tensor, kernel_call, only, outputs_of
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


@implements("sum", variant="library", dtypes=("float32", "float64", "float16"))
def library(problem: Problem, x: Tensor) -> Call:
    """cupy.sum, which adds float16 up in float32."""
    y = only(outputs_of(problem))

    def call() -> Tensor:
        cupy.sum(x, axis=-1, out=y)
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
