"""Convolutions over one and three axes through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import conv1d, conv3d

from dlbench.backends.backend import implements
from dlbench.backends.torch.conv import DTYPES, gradient_call
from dlbench.ops.conv_base import Convolution
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward_data", "backward_weight")
_FUNCTIONS = {1: conv1d, 3: conv3d}
"""By the number of axes."""


@implements("conv1d", variant="library", directions=DIRECTIONS, dtypes=DTYPES)
@implements("conv1d", variant="native", directions=DIRECTIONS, dtypes=DTYPES)
@implements("conv3d", variant="library", directions=DIRECTIONS, dtypes=DTYPES)
@implements("conv3d", variant="native", directions=DIRECTIONS, dtypes=DTYPES)
def convolution(problem: Problem, one: torch.Tensor, other: torch.Tensor) -> Call:
    """conv1d and conv3d of torch.nn.functional, or one gradient alone; what that is of gives its shape and is never read."""
    op = problem.op
    if not isinstance(op, Convolution):
        raise TypeError(f"not a convolution: {op!r}")
    conv = op.geometry
    match problem.direction:
        case "backward_data":
            return gradient_call(conv, one, one.new_empty(op.x_shape), other, 0)
        case "backward_weight":
            return gradient_call(conv, other, one, one.new_empty(op.w_shape), 1)
        case _:
            function = _FUNCTIONS[len(conv.window)]
            return partial(function, one, other, None, conv.strides, conv.pads, conv.dilation, conv.groups)
