"""Convolution and its gradients through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import conv2d

from dlbench.backends.backend import implements
from dlbench.ops.conv import Conv2d
from dlbench.ops.conv_geometry import Geometry
from dlbench.ops.op import Shape
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16", "tf32")
LAYOUTS = ("NHWC",)
AXES = 4


def _op(problem: Problem) -> Conv2d:
    op = problem.op
    if not isinstance(op, Conv2d):
        raise TypeError(f"not a convolution: {op!r}")
    return op


@implements("conv2d", variant="library", dtypes=DTYPES, layouts=LAYOUTS)
@implements("conv2d", variant="native", dtypes=DTYPES, layouts=LAYOUTS)
def forward(problem: Problem, x: torch.Tensor, w: torch.Tensor) -> Call:
    """torch.nn.functional.conv2d."""
    op = _op(problem)
    return partial(conv2d, x, w, None, op.strides, op.pads, op.dilation, op.groups)


@implements("conv2d", variant="library", directions=("backward_data",), dtypes=DTYPES, layouts=LAYOUTS)
@implements("conv2d", variant="native", directions=("backward_data",), dtypes=DTYPES, layouts=LAYOUTS)
def backward_data(problem: Problem, dy: torch.Tensor, w: torch.Tensor) -> Call:
    """The input's gradient alone; the input gives its shape and is never read."""
    return _gradient(problem, dy, _placeholder(_op(problem).x_shape, dy, w), w, 0)


@implements("conv2d", variant="library", directions=("backward_weight",), dtypes=DTYPES, layouts=LAYOUTS)
@implements("conv2d", variant="native", directions=("backward_weight",), dtypes=DTYPES, layouts=LAYOUTS)
def backward_weight(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:
    """The filter's gradient alone; the filter gives its shape and is never read."""
    return _gradient(problem, dy, x, _placeholder(_op(problem).w_shape, x, dy), 1)


def _placeholder(shape: Shape, *given: torch.Tensor) -> torch.Tensor:
    """Return a tensor in the given ones' layout: torch chooses its kernel by that of the tensor it stands for."""
    like = torch.channels_last if any(map(is_channels_last, given)) else torch.contiguous_format
    return torch.empty(shape, dtype=given[0].dtype, device=given[0].device, memory_format=like)


def is_channels_last(tensor: torch.Tensor) -> bool:
    """Return whether the second of four axes is the last in memory, where that differs from the axes' own order.

    By the strides: torch's own test holds for either order where there is one channel or one pixel.
    """
    _, c, h, w = tensor.shape
    return tensor.stride() == (h * w * c, 1, w * c, c) != (c * h * w, h * w, w, 1)


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """Return a copy of a tensor of four axes whose second one is the last in memory, its strides saying so at any shape."""
    return torch.empty_like(tensor, memory_format=torch.channels_last).copy_(tensor)


def _gradient(problem: Problem, dy: torch.Tensor, x: torch.Tensor, w: torch.Tensor, wanted: int) -> Call:
    return gradient_call(_op(problem).geometry, dy, x, w, wanted)


def gradient_call(
    conv: Geometry,
    dy: torch.Tensor,
    x: torch.Tensor,
    w: torch.Tensor,
    wanted: int,
    *,
    transposed: bool = False,
    output_pad: int = 0,
) -> Call:
    """Return a call of the gradient of a convolution, over any number of axes, by its input (`wanted` 0) or its filter
    (1).

    Of x and w, the one that is wanted gives only its shape. The geometry of a transposed one is that of the convolution
    which it is the gradient of.
    """
    axes = len(conv.window)
    dilation, output_pads = (conv.dilation,) * axes, (output_pad,) * axes
    steps, pads, groups = conv.strides, conv.pads, conv.groups
    mask = (wanted == 0, wanted == 1, False)
    backward = torch.ops.aten.convolution_backward

    def call() -> torch.Tensor:
        gradients = backward(dy, x, w, None, steps, pads, dilation, transposed, output_pads, groups, mask)
        gradient: torch.Tensor = gradients[wanted]
        return gradient

    return call
