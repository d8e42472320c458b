"""Convolution as a product of matrices: each output's columns are gathered, then BLAS does the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numpy.columns import Tensor, columns_of, empty, is_channels_last
from dlbench.ops.conv import Conv2d
from dlbench.ops.conv_geometry import Geometry
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

LAYOUTS = ("NHWC",)


def _filters(conv: Geometry, w: Tensor, *, last: bool) -> Tensor:
    """Return a view of the filters as groups × k/groups × rows, a row as the columns have it."""
    return (np.moveaxis(w, 1, -1) if last else w).reshape(conv.groups, conv.k // conv.groups, -1)


def _grouped(conv: Geometry, y: Tensor) -> Tensor:
    """Return a view of the outputs as n × groups × k/groups × places, in either order in memory."""
    return y.reshape(conv.n, conv.groups, conv.k // conv.groups, conv.positions)


def output_call(conv: Geometry, x: Tensor, w: Tensor) -> Call:
    """Return a call of y = w · columns of x, image by image."""
    last = is_channels_last(x) or is_channels_last(w)
    columns, filters = columns_of(conv, x.dtype, last=last), _filters(conv, w, last=last)
    y = empty(conv.y_shape, x.dtype, last=last)
    grouped = _grouped(conv, y)

    def call() -> Tensor:
        for image, out in zip(x, grouped, strict=True):
            np.matmul(filters, columns.gather(image), out=out)
        return y

    return call


def data_gradient_call(conv: Geometry, dy: Tensor, w: Tensor) -> Call:
    """Return a call of dx = the columns wᵀ · dy, added back to where they came from, image by image."""
    last = is_channels_last(dy) or is_channels_last(w)
    columns, filters = columns_of(conv, dy.dtype, last=last), _filters(conv, w, last=last).transpose(0, 2, 1)
    grouped = _grouped(conv, dy)
    dx = empty(conv.x_shape, dy.dtype, last=last)

    def call() -> Tensor:
        for gradient, out in zip(grouped, dx, strict=True):
            np.matmul(filters, gradient, out=columns.room(out))
            columns.scatter(out)
        return dx

    return call


def weight_gradient_call(conv: Geometry, x: Tensor, dy: Tensor) -> Call:
    """Return a call of dw = dy · columns of x, transposed, summed over the images."""
    last = is_channels_last(x) or is_channels_last(dy)
    columns, grouped = columns_of(conv, x.dtype, last=last), _grouped(conv, dy)
    dw = empty(conv.w_shape, x.dtype, last=last)
    total = _filters(conv, dw, last=last)
    piece = np.empty_like(total)

    def call() -> Tensor:
        total.fill(0)
        for image, gradient in zip(x, grouped, strict=True):
            np.matmul(gradient, columns.gather(image).transpose(0, 2, 1), out=piece)
            np.add(total, piece, out=total)
        return dw

    return call


CALLS: Mapping[Direction, Callable[[Geometry, Tensor, Tensor], Call]] = MappingProxyType(
    {"forward": output_call, "backward_data": data_gradient_call, "backward_weight": weight_gradient_call}
)
"""How each direction is computed over any number of axes, of the inputs in the order of the op's."""


def _geometry(problem: Problem) -> Geometry:
    op = problem.op
    if not isinstance(op, Conv2d):
        raise TypeError(f"not a convolution: {op!r}")
    return op.geometry


@implements("conv2d", variant="im2col", layouts=LAYOUTS)
def forward(problem: Problem, x: Tensor, w: Tensor) -> Call:
    """y = w · columns of x, image by image."""
    return output_call(_geometry(problem), x, w)


@implements("conv2d", variant="im2col", directions=("backward_data",), layouts=LAYOUTS)
def backward_data(problem: Problem, dy: Tensor, w: Tensor) -> Call:
    """dx = the columns wᵀ · dy, added back to where they came from, image by image."""
    return data_gradient_call(_geometry(problem), dy, w)


@implements("conv2d", variant="im2col", directions=("backward_weight",), layouts=LAYOUTS)
def backward_weight(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dw = dy · columns of x, transposed, summed over the images."""
    return weight_gradient_call(_geometry(problem), x, dy)
