"""Convolution by Winograd's minimal filtering, F(2×2, 3×3) (A. Lavin & S. Gray, Fast Algorithms for Convolutional Neural
Networks, 2015, section 4.1).

A tile of 2×2 outputs takes 16 products instead of 36, of 4×4 inputs and a 3×3 filter that are transformed before; over
the channels, the 16 products of all tiles are 16 products of matrices. The transforms of so small a tile only add, and
halve, so that they add little to the errors of the sums: at worst 0.4 of what is tolerated on ragged shapes.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dlbench.backends.backend import implements
from dlbench.backends.numpy.columns import Tensor
from dlbench.errors import UnsupportedError
from dlbench.ops.conv import Conv2d
from dlbench.ops.op import Shape
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

OUT, IN, WINDOW = 2, 4, 3
"""The sides of a tile's outputs, of its inputs, and of the filter."""


def transform_inputs(d: Tensor, out: Tensor) -> None:
    """Write Bᵀd, over the first axis of both, of 4."""
    np.subtract(d[0], d[2], out=out[0])
    np.add(d[1], d[2], out=out[1])
    np.subtract(d[2], d[1], out=out[2])
    np.subtract(d[1], d[3], out=out[3])


def transform_filter(g: Tensor, out: Tensor) -> None:
    """Write Gg, over the first axis, of 3, to that of 4."""
    outer, middle = 0.5 * (g[0] + g[2]), 0.5 * g[1]
    out[0], out[3] = g[0], g[2]
    np.add(outer, middle, out=out[1])
    np.subtract(outer, middle, out=out[2])


def transform_products(m: Tensor, out: Tensor) -> None:
    """Write Aᵀm, over the first axis, of 4, to that of 2."""
    np.add(m[1], m[2], out=out[0])
    np.add(out[0], m[0], out=out[0])
    np.subtract(m[1], m[2], out=out[1])
    np.subtract(out[1], m[3], out=out[1])


class _Tiles:
    """The buffers of one image: its padded inputs, their tiles transformed, their products, and the outputs.

    `shift` are the zeros above and beside; where it is negative, so many rows and columns are left out instead.
    """

    def __init__(
        self, groups: int, given: Shape, wanted: Shape, shift: tuple[int, int], dtype: np.dtype[Any]
    ) -> None:
        (c, *extents), (k, *places) = given, wanted
        p, q = (-(-place // OUT) for place in places)
        around = np.zeros((c, OUT * p + IN - OUT, OUT * q + IN - OUT), dtype)
        down, across = map(_overlap, shift, extents, around.shape[1:])
        self._into, self._of = around[:, down[0], across[0]], (slice(None), down[1], across[1])
        tiles = sliding_window_view(around, (IN, IN), axis=(1, 2))[:, ::OUT, ::OUT]
        self._tiles = tiles.transpose(3, 4, 0, 1, 2)
        self._half = np.empty((IN, IN, c, p, q), dtype)
        self._inputs = np.empty_like(self._half)
        self._filters = np.empty((IN, IN, groups, k // groups, c // groups), dtype)
        self._half_filters = np.empty((IN, WINDOW, *self._filters.shape[2:]), dtype)
        self._products = np.empty((IN, IN, groups, k // groups, p * q), dtype)
        self._half_outputs = np.empty((OUT, IN, k, p, q), dtype)
        whole = np.empty((k, p, OUT, q, OUT), dtype)
        self._outputs = whole.transpose(2, 4, 0, 1, 3)
        self._wanted = whole.reshape(k, OUT * p, OUT * q)[:, : places[0], : places[1]]

    def take(self, filters: Tensor) -> None:
        """Transform the filters, 3 × 3 × groups × k/groups × c/groups."""
        transform_filter(filters, self._half_filters)
        transform_filter(self._half_filters.swapaxes(0, 1), self._filters.swapaxes(0, 1))

    def convolve(self, image: Tensor, out: Tensor) -> None:
        """Write the outputs of one image, channels × extents."""
        np.copyto(self._into, image[self._of])
        transform_inputs(self._tiles, self._half)
        transform_inputs(self._half.swapaxes(0, 1), self._inputs.swapaxes(0, 1))
        groups, size = self._filters.shape[2], self._filters.shape[-1]
        np.matmul(self._filters, self._inputs.reshape(IN, IN, groups, size, -1), out=self._products)
        transform_products(self._products.reshape(IN, *self._half_outputs.shape[1:]), self._half_outputs)
        transform_products(self._half_outputs.swapaxes(0, 1), self._outputs.swapaxes(0, 1))
        np.copyto(out, self._wanted)


def _overlap(shift: int, extent: int, room: int) -> tuple[slice, slice]:
    """Return where an axis shifted by so much lies within the room, and which part of it does."""
    start, end = max(shift, 0), min(shift + extent, room)
    return slice(start, end), slice(start - shift, end - shift)


def _op(problem: Problem) -> Conv2d:
    op = problem.op
    if not isinstance(op, Conv2d):
        raise TypeError(f"not a convolution: {op!r}")
    if (op.r, op.s, op.strides, op.dilation) != (WINDOW, WINDOW, (1, 1), 1):
        raise UnsupportedError(
            f"winograd computes 3×3 filters at stride 1 without dilation, not conv2d {op.label()}"
        )
    return op


def _call(filters: Tensor, tiles: _Tiles, images: Tensor, output: Tensor) -> Call:
    def call() -> Tensor:
        tiles.take(filters)
        for image, out in zip(images, output, strict=True):
            tiles.convolve(image, out)
        return output

    return call


def _by_group(op: Conv2d, w: Tensor) -> Tensor:
    """Return a view of the filters as 3 × 3 × groups × k/groups × c/groups."""
    return w.reshape(op.groups, -1, *op.w_shape[1:]).transpose(3, 4, 0, 1, 2)


@implements("conv2d", variant="winograd")
def forward(problem: Problem, x: Tensor, w: Tensor) -> Call:
    """The outputs tile by tile, image by image."""
    op = _op(problem)
    tiles = _Tiles(op.groups, op.x_shape[1:], op.y_shape[1:], op.pads, x.dtype)
    return _call(_by_group(op, w), tiles, x, np.empty(op.y_shape, x.dtype))


@implements("conv2d", variant="winograd", directions=("backward_data",))
def backward_data(problem: Problem, dy: Tensor, w: Tensor) -> Call:
    """The same with the filters turned by half a turn, and their channels exchanged."""
    op = _op(problem)
    shift = (WINDOW - 1 - op.pads[0], WINDOW - 1 - op.pads[1])
    tiles = _Tiles(op.groups, op.y_shape[1:], op.x_shape[1:], shift, dy.dtype)
    turned = _by_group(op, w)[::-1, ::-1].swapaxes(-1, -2)
    return _call(turned, tiles, dy, np.empty(op.x_shape, dy.dtype))
