"""Transposed convolutions and their gradients through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import conv_transpose1d, conv_transpose2d, conv_transpose3d

from dlbench.backends.backend import implements
from dlbench.backends.torch.conv import DTYPES, gradient_call
from dlbench.backends.torch.conv_nd import DIRECTIONS
from dlbench.ops.conv_transpose import TransposedConvolution
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

_FUNCTIONS = {1: conv_transpose1d, 2: conv_transpose2d, 3: conv_transpose3d}
"""By the number of axes."""


@implements("conv_transpose1d", variant="library", directions=DIRECTIONS, dtypes=DTYPES)
@implements("conv_transpose1d", variant="native", directions=DIRECTIONS, dtypes=DTYPES)
@implements("conv_transpose2d", variant="library", directions=DIRECTIONS, dtypes=DTYPES)
@implements("conv_transpose2d", variant="native", directions=DIRECTIONS, dtypes=DTYPES)
@implements("conv_transpose3d", variant="library", directions=DIRECTIONS, dtypes=DTYPES)
@implements("conv_transpose3d", variant="native", directions=DIRECTIONS, dtypes=DTYPES)
def transposed(problem: Problem, one: torch.Tensor, other: torch.Tensor) -> Call:
    """conv_transpose1d, 2d and 3d of torch.nn.functional, or one gradient alone; what that is of gives only its shape."""
    op = problem.op
    if not isinstance(op, TransposedConvolution):
        raise TypeError(f"not a transposed convolution: {op!r}")
    conv = op.geometry
    gradient = partial(gradient_call, conv, transposed=True, output_pad=op.output_pad)
    match problem.direction:
        case "backward_data":
            return gradient(one, one.new_empty(op.x_shape), other, 0)
        case "backward_weight":
            return gradient(other, one, one.new_empty(op.w_shape), 1)
        case _:
            function = _FUNCTIONS[len(conv.window)]
            sizes = conv.strides, conv.pads, op.output_pad, conv.groups, conv.dilation
            return partial(function, one, other, None, *sizes)
