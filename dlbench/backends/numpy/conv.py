"""Convolution as a product of matrices: the columns that each output meets are gathered, then BLAS does the rest."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dlbench.backends.backend import Call, implements
from dlbench.ops.conv import Conv2d
from dlbench.ops.problem import Problem

Tensor = np.ndarray[Any, np.dtype[Any]]


class _Columns:
    """The buffers of one convolution: the padded image and its columns, groups × (channels·r·s) × (p·q)."""

    def __init__(self, op: Conv2d, dtype: np.dtype[Any]) -> None:
        (pad, pad_w), (down, across), step = op.pads, op.strides, op.dilation
        self.padded = np.zeros((op.c, op.h + 2 * pad, op.w + 2 * pad_w), dtype)
        self.inner = self.padded[:, pad : pad + op.h, pad_w : pad_w + op.w]
        shape = (op.c, op.r, op.s, op.p, op.q)
        self.columns = np.zeros(shape, dtype)
        self.matrix = self.columns.reshape(op.groups, -1, op.p * op.q)
        window = (step * (op.r - 1) + 1, step * (op.s - 1) + 1)
        views = sliding_window_view(self.padded, window, axis=(1, 2), writeable=True)
        self.views = views[:, : down * op.p : down, : across * op.q : across, ::step, ::step].transpose(0, 3, 4, 1, 2)

    def gather(self, image: Tensor) -> Tensor:
        """Return the columns of one image, c × h × w."""
        self.inner[...] = image
        np.copyto(self.columns, self.views)
        return self.matrix

    def scatter(self, op: Conv2d) -> Tensor:
        """Add the columns back to where they were gathered and return the image."""
        self.padded.fill(0)
        for row in range(op.r):
            for column in range(op.s):  # windows overlap; the pixels of one tap do not
                self.views[:, row, column] += self.columns[:, row, column]
        return self.inner


def _parts(problem: Problem, dtype: np.dtype[Any]) -> tuple[Conv2d, _Columns]:
    op = problem.op
    if not isinstance(op, Conv2d):
        raise TypeError(f"not a convolution: {op!r}")
    return op, _Columns(op, dtype)


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
            np.matmul(filters, gradient, out=columns.matrix)
            np.copyto(out, columns.scatter(op))
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
