"""Convolution as a product of matrices: each output's columns are gathered, then BLAS does the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dlbench.backends.backend import implements
from dlbench.ops.conv import Conv2d
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


class _Columns:
    """The buffers of one convolution: the padded image and its columns, groups × (channels·r·s) × (p·q)."""

    def __init__(self, op: Conv2d, dtype: np.dtype[Any]) -> None:
        (pad, pad_w), (down, across), step = op.pads, op.strides, op.dilation
        self._padded = np.zeros((op.c, op.h + 2 * pad, op.w + 2 * pad_w), dtype)
        self._inner = self._padded[:, pad : pad + op.h, pad_w : pad_w + op.w]
        self._columns = np.empty((op.c, op.r, op.s, op.p, op.q), dtype)
        self._matrix = self._columns.reshape(op.groups, -1, op.p * op.q)
        window = (step * (op.r - 1) + 1, step * (op.s - 1) + 1)
        views = sliding_window_view(self._padded, window, axis=(1, 2), writeable=True)
        views = views[:, : down * op.p : down, : across * op.q : across, ::step, ::step]
        self._views = views.transpose(0, 3, 4, 1, 2)

    def gather(self, image: Tensor) -> Tensor:
        """Return the columns of one image, c × h × w."""
        self._inner[...] = image
        np.copyto(self._columns, self._views)
        return self._matrix

    def room(self, image: Tensor) -> Tensor:  # noqa: ARG002 - the columns stand apart from the image
        """Return where the columns of an image's gradient are to be written."""
        return self._matrix

    def scatter(self, image: Tensor) -> None:
        """Add the columns back to where they were gathered, into the image."""
        self._padded.fill(0)
        for row, column in np.ndindex(
            self._columns.shape[1:3]
        ):  # windows overlap; the pixels of one tap do not
            self._views[:, row, column] += self._columns[:, row, column]
        np.copyto(image, self._inner)


class _Pixels:
    """A 1×1 convolution of stride 1 without padding: the image is its own columns and nothing is gathered."""

    def __init__(self, op: Conv2d) -> None:
        self._shape = (op.groups, op.c // op.groups, op.h * op.w)

    def gather(self, image: Tensor) -> Tensor:
        """Return the image as columns."""
        return image.reshape(self._shape)

    def room(self, image: Tensor) -> Tensor:
        """Return the image as columns."""
        return image.reshape(self._shape)

    def scatter(self, image: Tensor) -> None:
        """Do nothing: the columns were written into the image."""


def _parts(problem: Problem, dtype: np.dtype[Any]) -> tuple[Conv2d, _Columns | _Pixels]:
    op = problem.op
    if not isinstance(op, Conv2d):
        raise TypeError(f"not a convolution: {op!r}")
    own_columns = (op.r, op.s, op.strides, op.pads) == (1, 1, (1, 1), (0, 0))
    return op, _Pixels(op) if own_columns else _Columns(op, dtype)


@implements("conv2d", variant="im2col")
def forward(problem: Problem, x: Tensor, w: Tensor) -> Call:
    """y = w · columns of x, image by image."""
    op, columns = _parts(problem, x.dtype)
    filters = w.reshape(op.groups, op.k // op.groups, -1)
    y = np.empty(op.y_shape, x.dtype)
    grouped = y.reshape(op.n, op.groups, op.k // op.groups, -1)

    def call() -> Tensor:
        for image, out in zip(x, grouped, strict=True):
            np.matmul(filters, columns.gather(image), out=out)
        return y

    return call


@implements("conv2d", variant="im2col", directions=("backward_data",))
def backward_data(problem: Problem, dy: Tensor, w: Tensor) -> Call:
    """dx = the columns wᵀ · dy, added back to where they came from, image by image."""
    op, columns = _parts(problem, dy.dtype)
    filters = w.reshape(op.groups, op.k // op.groups, -1).transpose(0, 2, 1)
    grouped = dy.reshape(op.n, op.groups, op.k // op.groups, -1)
    dx = np.empty(op.x_shape, dy.dtype)

    def call() -> Tensor:
        for gradient, out in zip(grouped, dx, strict=True):
            np.matmul(filters, gradient, out=columns.room(out))
            columns.scatter(out)
        return dx

    return call


@implements("conv2d", variant="im2col", directions=("backward_weight",))
def backward_weight(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dw = dy · columns of x, transposed, summed over the images."""
    op, columns = _parts(problem, x.dtype)
    grouped = dy.reshape(op.n, op.groups, op.k // op.groups, -1)
    dw = np.empty(op.w_shape, x.dtype)
    total = dw.reshape(op.groups, op.k // op.groups, -1)
    piece = np.empty_like(total)

    def call() -> Tensor:
        total.fill(0)
        for image, gradient in zip(x, grouped, strict=True):
            np.matmul(gradient, columns.gather(image).transpose(0, 2, 1), out=piece)
            np.add(total, piece, out=total)
        return dw

    return call
