"""Pooling as array expressions: an operation for each element of a window, on all windows at once."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.op import Direction, Op
from dlbench.ops.pool import MaxPool
from dlbench.ops.pooling import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d, SteppedPool
from dlbench.ops.problem import Problem
from dlbench.ops.windows import Windows
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]

MAX_DTYPES = ("float32", "float64", "float16")
"""A comparison is exact in any format; a backward sum is of the few windows that overlap."""
BACKWARD: tuple[Direction, ...] = ("backward",)


class _Canvas:
    """The padded images of windows a stride apart, and the view of them that each element of the windows meets."""

    def __init__(self, op: SteppedPool, image: Tensor, fill: float) -> None:
        """Take the op, an array of x's shape that is used as it is where nothing is added to it, and the padding."""
        self.image, padded = image, image
        if op.room != (op.h, op.w):
            padded = np.full((op.n, op.c, *op.room), fill, image.dtype)
        self.padded, self._inner = padded, padded[..., *op.inside]
        self.taps = [padded[..., *places] for places in op.met()]

    def draw(self) -> None:
        """Copy the image into the padded one."""
        if self.padded is not self.image:
            np.copyto(self._inner, self.image)

    def cut(self) -> Tensor:
        """Copy the padded image into the image, and return that."""
        if self.padded is not self.image:
            np.copyto(self.image, self._inner)
        return self.image


def _refuse(op: Op) -> TypeError:
    return TypeError(f"not a pooling: {op!r}")


@implements("max_pool2d", variant="native", dtypes=MAX_DTYPES)
def max_pool2d(problem: Problem, x: Tensor) -> Call:
    """The larger of what there is and the next element of each window."""
    op = problem.op
    if not isinstance(op, MaxPool2d):
        raise _refuse(op)
    canvas, y = _Canvas(op, x, -np.inf), np.empty(op.y_shape, x.dtype)
    first, *others = canvas.taps

    def call() -> Tensor:
        canvas.draw()
        np.copyto(y, first)
        for tap in others:
            np.maximum(y, tap, out=y)
        return y

    return call


@implements("avg_pool2d", variant="native")
def avg_pool2d(problem: Problem, x: Tensor) -> Call:
    """The sum of each window's elements, one after the other, and its division."""
    op = problem.op
    if not isinstance(op, AvgPool2d):
        raise _refuse(op)
    canvas, y = _Canvas(op, x, 0.0), np.empty(op.y_shape, x.dtype)
    first, *others = canvas.taps
    areas = op.areas.astype(x.dtype)

    def call() -> Tensor:
        canvas.draw()
        np.copyto(y, first)
        for tap in others:
            np.add(y, tap, out=y)
        np.divide(y, areas, out=y)
        return y

    return call


@implements("avg_pool2d", variant="native", directions=BACKWARD)
def avg_pool2d_backward(problem: Problem, dy: Tensor) -> Call:
    """Each window's share, added to its elements one after the other."""
    op = problem.op
    if not isinstance(op, AvgPool2d):
        raise _refuse(op)
    canvas, shares = _Canvas(op, np.empty(op.x_shape, dy.dtype), 0.0), np.empty_like(dy)
    areas = op.areas.astype(dy.dtype)

    def call() -> Tensor:
        np.divide(dy, areas, out=shares)
        canvas.padded.fill(0)
        for tap in canvas.taps:  # windows overlap; the elements of one tap do not
            np.add(tap, shares, out=tap)
        return canvas.cut()

    return call


@implements("max_pool2d", variant="native", directions=BACKWARD, dtypes=MAX_DTYPES)
@implements("adaptive_max_pool2d", variant="native", directions=BACKWARD, dtypes=MAX_DTYPES)
def max_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """Each gradient, added to where its window's largest element is known to be."""
    op = problem.op
    if not isinstance(op, MaxPool):
        raise _refuse(op)
    targets, gradients = op.targets(x), dy.reshape(-1)
    dx = np.empty_like(x)
    flat = dx.reshape(-1)

    def call() -> Tensor:
        dx.fill(0)
        np.add.at(flat, targets, gradients)
        return dx

    return call


@implements("adaptive_max_pool2d", variant="native", dtypes=MAX_DTYPES)
def adaptive_max_pool2d(problem: Problem, x: Tensor) -> Call:
    """The largest of each window's rows, and then of its columns."""
    op = problem.op
    if not isinstance(op, AdaptiveMaxPool2d):
        raise _refuse(op)
    y = np.empty(op.y_shape, x.dtype)
    down, across = _slabs(op.windows, x, np.empty((op.n, op.c, op.p, op.w), x.dtype), y)

    def call() -> Tensor:
        for window, largest in down:
            np.max(window, axis=-2, keepdims=True, out=largest)
        for window, largest in across:
            np.max(window, axis=-1, keepdims=True, out=largest)
        return y

    return call


@implements("adaptive_avg_pool2d", variant="native")
def adaptive_avg_pool2d(problem: Problem, x: Tensor) -> Call:
    """The sum of each window's rows, and then of its columns, and its division."""
    op = problem.op
    if not isinstance(op, AdaptiveAvgPool2d):
        raise _refuse(op)
    y, areas = np.empty(op.y_shape, x.dtype), op.areas.astype(x.dtype)
    down, across = _slabs(op.windows, x, np.empty((op.n, op.c, op.p, op.w), x.dtype), y)

    def call() -> Tensor:
        for window, total in down:
            np.sum(window, axis=-2, keepdims=True, out=total)
        for window, total in across:
            np.sum(window, axis=-1, keepdims=True, out=total)
        np.divide(y, areas, out=y)
        return y

    return call


@implements("adaptive_avg_pool2d", variant="native", directions=BACKWARD)
def adaptive_avg_pool2d_backward(problem: Problem, dy: Tensor) -> Call:
    """Each window's share, added along its columns, and then along its rows."""
    op = problem.op
    if not isinstance(op, AdaptiveAvgPool2d):
        raise _refuse(op)
    areas, shares, dx = op.areas.astype(dy.dtype), np.empty_like(dy), np.empty(op.x_shape, dy.dtype)
    tall = np.empty((op.n, op.c, op.p, op.w), dy.dtype)
    down, across = _slabs(op.windows, dx, tall, shares)

    def call() -> Tensor:
        np.divide(dy, areas, out=shares)
        for whole, slabs in ((tall, across), (dx, down)):
            whole.fill(0)
            for window, share in slabs:
                np.add(window, share, out=window)
        return dx

    return call


def _slabs(
    windows: Windows, images: Tensor, tall: Tensor, outputs: Tensor
) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
    """Return the rows that each row of `tall` stands for, and the columns of `tall` that each column of the outputs does."""
    down = [(images[..., a:b, :], tall[..., i : i + 1, :]) for i, (a, b) in enumerate(windows.rows)]
    across = [(tall[..., a:b], outputs[..., j : j + 1]) for j, (a, b) in enumerate(windows.columns)]
    return down, across
