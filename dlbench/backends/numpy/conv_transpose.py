"""Transposed convolutions as products of matrices: a convolution's gradients, its input and output exchanged."""

from __future__ import annotations

from dlbench.backends.backend import implements
from dlbench.backends.numpy.columns import Tensor
from dlbench.backends.numpy.conv_nd import DIRECTIONS, convolution_call
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


@implements("conv_transpose1d", variant="im2col", directions=DIRECTIONS)
@implements("conv_transpose2d", variant="im2col", directions=DIRECTIONS)
@implements("conv_transpose3d", variant="im2col", directions=DIRECTIONS)
def im2col(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """The columns wᵀ · x, added to the outputs that they touch, image by image."""
    return convolution_call(problem, one, other)
