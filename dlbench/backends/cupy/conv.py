"""Convolution and its gradients by kernels of one's own."""

from __future__ import annotations

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import KERNEL_DTYPES, Tensor, kernel_call
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward_data", "backward_weight")


@implements("conv2d", variant="naive", directions=DIRECTIONS, dtypes=KERNEL_DTYPES)
def naive(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """A thread for each output, or each element of a gradient."""
    return kernel_call(problem, "naive", one, other)


@implements("conv2d", variant="tiled", directions=DIRECTIONS, dtypes=KERNEL_DTYPES)
def tiled(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """A product of matrices in tiles whose columns are gathered as they are needed."""
    return kernel_call(problem, "tiled", one, other)
