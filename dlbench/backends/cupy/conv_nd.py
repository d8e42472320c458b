"""Convolution over one axis by the kernels for two."""

from __future__ import annotations

from dlbench.backends.backend import implements
from dlbench.backends.cupy.conv import DIRECTIONS
from dlbench.backends.cupy.programs import KERNEL_DTYPES, Tensor, kernel_call
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


@implements("conv1d", variant="naive", directions=DIRECTIONS, dtypes=KERNEL_DTYPES)
def naive(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """A thread for each output, or each element of a gradient."""
    return kernel_call(problem, "naive", one, other)


@implements("conv1d", variant="tiled", directions=DIRECTIONS, dtypes=KERNEL_DTYPES)
def tiled(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """A product of matrices in tiles whose columns are gathered as they are needed."""
    return kernel_call(problem, "tiled", one, other)
