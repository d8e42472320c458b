"""Convolutions over one and three axes as products of matrices, by the columns of `conv`."""

from __future__ import annotations

from dlbench.backends.backend import implements
from dlbench.backends.numpy.columns import Tensor
from dlbench.backends.numpy.conv import CALLS
from dlbench.ops.conv_base import Convolution
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward_data", "backward_weight")


def convolution_call(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """Return a call of a convolution over any number of axes, plain or transposed, on tensors in the order of the op."""
    op = problem.op
    if not isinstance(op, Convolution):
        raise TypeError(f"not a convolution: {op!r}")
    plain = CALLS[op.plain(problem.direction)]
    return plain(op.geometry, *op.operands(problem.direction, one, other))


@implements("conv1d", variant="im2col", directions=DIRECTIONS)
@implements("conv3d", variant="im2col", directions=DIRECTIONS)
def im2col(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """The columns of an image, and a product with the filters or with the gradient."""
    return convolution_call(problem, one, other)
