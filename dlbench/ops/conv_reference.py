"""The float64 convolution and its gradients: whole, one image at a time, and at single outputs.

Each filter tap is a product of matrices over the channels; memory beyond the tensors is that of one image.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from dlbench.ops.dtypes import Array

if TYPE_CHECKING:
    from dlbench.ops.conv import Conv2d


def padded(op: Conv2d, images: Array) -> Array:
    """Return the images with zeros around them."""
    pad, pad_w = op.pads
    return np.pad(images, [(0, 0)] * (images.ndim - 2) + [(pad, pad), (pad_w, pad_w)])


def tap(op: Conv2d, image: Array, row: int, column: int) -> Array:
    """Return the view of padded images that one filter tap meets: … × p × q."""
    (down, across), top, left = op.strides, row * op.dilation, column * op.dilation
    return image[..., top : top + down * op.p : down, left : left + across * op.q : across]


def taps(op: Conv2d) -> Iterator[tuple[int, int]]:
    """Yield every row and column of the filter."""
    return ((row, column) for row in range(op.r) for column in range(op.s))


def _grouped(op: Conv2d, image: Array) -> Array:
    """Return an image as groups × channels of a group × positions."""
    return image.reshape(op.groups, image.shape[0] // op.groups, -1)


def _by_tap(op: Conv2d, w: Array) -> Array:
    """Return the filters as r × s × groups × k/groups × c/groups, each tap contiguous: BLAS takes no
    other."""
    grouped = w.reshape(op.groups, op.k // op.groups, *w.shape[1:])
    return np.ascontiguousarray(np.moveaxis(grouped, (3, 4), (0, 1)))


def output(op: Conv2d, x: Array, w: Array) -> Array:
    """Return y."""
    filters = _by_tap(op, w)
    y = np.zeros(op.y_shape)
    for image, out in zip(x, y, strict=True):
        around, sums = padded(op, image), _grouped(op, out)
        for row, column in taps(op):
            sums += filters[row, column] @ _grouped(op, tap(op, around, row, column))
    return y


def data_gradient(op: Conv2d, dy: Array, w: Array) -> Array:
    """Return dx: each tap's share goes back to where the tap took its input."""
    (pad, pad_w), filters = op.pads, np.swapaxes(_by_tap(op, w), -1, -2)
    dx = np.empty(op.x_shape)
    around = np.empty((op.c, op.h + 2 * pad, op.w + 2 * pad_w))
    for gradient, out in zip(dy, dx, strict=True):
        around.fill(0)
        for row, column in taps(op):
            share = filters[row, column] @ _grouped(op, gradient)
            tap(op, around, row, column)[...] += share.reshape(op.c, op.p, op.q)
        out[...] = around[:, pad : pad + op.h, pad_w : pad_w + op.w]
    return dx


def weight_gradient(op: Conv2d, x: Array, dy: Array) -> Array:
    """Return dw, summed over the images."""
    dw = np.zeros((op.groups, op.k // op.groups, op.c // op.groups, op.r, op.s))
    for image, gradient in zip(x, dy, strict=True):
        around = padded(op, image)
        for row, column in taps(op):
            met = _grouped(op, tap(op, around, row, column))
            dw[..., row, column] += _grouped(op, gradient) @ np.swapaxes(met, -1, -2)
    return dw.reshape(op.w_shape)


def y_at(op: Conv2d, around: Array, w: Array, at: tuple[int, ...]) -> float:
    """Return one element of y; `around` is the padded x."""
    n, k, p, q = at
    (down, across), step, size = op.strides, op.dilation, op.c // op.groups
    first, top, left = k // (op.k // op.groups) * size, p * down, q * across
    patch = around[n, first : first + size, top : top + step * op.r : step, left : left + step * op.s : step]
    return float(np.vdot(patch, w[k]))


def dx_at(op: Conv2d, dy: Array, w: Array, at: tuple[int, ...]) -> float:
    """Return one element of dx: the sum over the outputs that this pixel has touched."""
    n, c, i, j = at
    (down, across), (pad, pad_w), size = op.strides, op.pads, op.k // op.groups
    group, channel = divmod(c, op.c // op.groups)
    filters = slice(group * size, (group + 1) * size)
    total = 0.0
    for row, column in taps(op):
        p, between = divmod(i + pad - row * op.dilation, down)
        q, beside = divmod(j + pad_w - column * op.dilation, across)
        if not (between or beside) and 0 <= p < op.p and 0 <= q < op.q:
            total += float(dy[n, filters, p, q] @ w[filters, channel, row, column])
    return total


def dw_at(op: Conv2d, x: Array, dy: Array, at: tuple[int, ...]) -> float:
    """Return one element of dw: the sum over images and outputs."""
    k, c, row, column = at
    channel = k // (op.k // op.groups) * (op.c // op.groups) + c
    return float(np.vdot(tap(op, padded(op, x[:, channel]), row, column), dy[:, k]))
