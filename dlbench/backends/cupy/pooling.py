"""Pooling as array operations on a GPU: one for each element of a window, on all windows at once."""

from __future__ import annotations

import math

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import Tensor
from dlbench.backends.cupy.softmax import LIBRARY_DTYPES, wide
from dlbench.ops.op import Direction, Op
from dlbench.ops.pool import AvgPool, MaxPool
from dlbench.ops.pooling import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d, SteppedPool
from dlbench.ops.problem import Problem
from dlbench.ops.windows import Windows
from dlbench.timing.clock import Call

BACKWARD: tuple[Direction, ...] = ("backward",)


class _Canvas:
    """The padded images of windows a stride apart, and the view of them that each element of the windows meets."""

    def __init__(self, op: SteppedPool, image: Tensor, dtype: str, fill: float) -> None:
        """Take the op, an array of x's shape, the format of the padded one, and the padding.

        The array is used as it is where nothing is added to it and the format is its own.
        """
        self.image, padded = image, image
        if op.room != (op.h, op.w) or dtype != str(image.dtype):
            padded = cupy.empty((op.n, op.c, *op.room), dtype)
            padded.fill(fill)
        self.padded, self._inner = padded, padded[..., *op.inside]
        self.taps = [padded[..., *places] for places in op.met()]

    def draw(self) -> None:
        """Copy the image into the padded one."""
        if self.padded is not self.image:
            cupy.copyto(self._inner, self.image)

    def cut(self) -> Tensor:
        """Copy the padded image into the image, and return that."""
        if self.padded is not self.image:
            cupy.copyto(self.image, self._inner)
        return self.image


def _refuse(op: Op) -> TypeError:
    return TypeError(f"not a pooling: {op!r}")


def _areas(op: AvgPool, dtype: str) -> Tensor:
    return cupy.asarray(op.areas.astype(wide(dtype)))


@implements("max_pool2d", variant="library", dtypes=LIBRARY_DTYPES)
def max_pool2d(problem: Problem, x: Tensor) -> Call:
    """The larger of what there is and the next element of each window."""
    op = problem.op
    if not isinstance(op, MaxPool2d):
        raise _refuse(op)
    canvas, y = _Canvas(op, x, problem.dtype, -math.inf), cupy.empty(op.y_shape, x.dtype)
    first, *others = canvas.taps

    def call() -> Tensor:
        canvas.draw()
        cupy.copyto(y, first)
        for tap in others:
            cupy.maximum(y, tap, out=y)
        return y

    return call


@implements("avg_pool2d", variant="library", dtypes=LIBRARY_DTYPES)
def avg_pool2d(problem: Problem, x: Tensor) -> Call:
    """The sum of each window's elements, one after the other, in float32 at least, and its division."""
    op = problem.op
    if not isinstance(op, AvgPool2d):
        raise _refuse(op)
    canvas, areas = _Canvas(op, x, problem.dtype, 0.0), _areas(op, problem.dtype)
    total, y = cupy.empty(op.y_shape, wide(problem.dtype)), cupy.empty(op.y_shape, x.dtype)
    first, *others = canvas.taps

    def call() -> Tensor:
        canvas.draw()
        cupy.copyto(total, first)
        for tap in others:
            cupy.add(total, tap, out=total)
        cupy.divide(total, areas, out=y)
        return y

    return call


@implements("avg_pool2d", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def avg_pool2d_backward(problem: Problem, dy: Tensor) -> Call:
    """Each window's share, added to its elements one after the other, in float32 at least."""
    op, dtype = problem.op, wide(problem.dtype)
    if not isinstance(op, AvgPool2d):
        raise _refuse(op)
    canvas = _Canvas(op, cupy.empty(op.x_shape, dy.dtype), dtype, 0.0)
    shares, areas = cupy.empty(op.y_shape, dtype), _areas(op, problem.dtype)

    def call() -> Tensor:
        cupy.divide(dy, areas, out=shares)
        canvas.padded.fill(0)
        for tap in canvas.taps:  # windows overlap; the elements of one tap do not
            cupy.add(tap, shares, out=tap)
        return canvas.cut()

    return call


@implements("max_pool2d", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
@implements("adaptive_max_pool2d", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def max_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """Each gradient, added to where its window's largest element is known to be, in no order where windows overlap."""
    op = problem.op
    if not isinstance(op, MaxPool):
        raise _refuse(op)
    targets, gradients = cupy.asarray(op.targets(cupy.asnumpy(x))), dy.reshape(-1)
    dx = cupy.empty(op.x_shape, dy.dtype)
    flat = dx.reshape(-1)

    def call() -> Tensor:
        dx.fill(0)
        cupy.add.at(flat, targets, gradients)
        return dx

    return call


@implements("adaptive_max_pool2d", variant="library", dtypes=LIBRARY_DTYPES)
def adaptive_max_pool2d(problem: Problem, x: Tensor) -> Call:
    """The largest of each window's rows, and then of its columns."""
    op = problem.op
    if not isinstance(op, AdaptiveMaxPool2d):
        raise _refuse(op)
    y = cupy.empty(op.y_shape, x.dtype)
    down, across = _slabs(op.windows, x, cupy.empty((op.n, op.c, op.p, op.w), x.dtype), y)

    def call() -> Tensor:
        for window, largest in down:
            cupy.max(window, axis=-2, keepdims=True, out=largest)
        for window, largest in across:
            cupy.max(window, axis=-1, keepdims=True, out=largest)
        return y

    return call


@implements("adaptive_avg_pool2d", variant="library", dtypes=LIBRARY_DTYPES)
def adaptive_avg_pool2d(problem: Problem, x: Tensor) -> Call:
    """The sum of each window's rows, and then of its columns, and its division."""
    op, dtype = problem.op, wide(problem.dtype)
    if not isinstance(op, AdaptiveAvgPool2d):
        raise _refuse(op)
    y, totals = cupy.empty(op.y_shape, x.dtype), cupy.empty(op.y_shape, dtype)
    areas = _areas(op, problem.dtype)
    down, across = _slabs(op.windows, x, cupy.empty((op.n, op.c, op.p, op.w), dtype), totals)

    def call() -> Tensor:
        for window, total in down:
            cupy.sum(window, axis=-2, keepdims=True, dtype=dtype, out=total)
        for window, total in across:
            cupy.sum(window, axis=-1, keepdims=True, out=total)
        cupy.divide(totals, areas, out=y)
        return y

    return call


@implements("adaptive_avg_pool2d", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def adaptive_avg_pool2d_backward(problem: Problem, dy: Tensor) -> Call:
    """Each window's share, added along its columns, and then along its rows."""
    op, dtype = problem.op, wide(problem.dtype)
    if not isinstance(op, AdaptiveAvgPool2d):
        raise _refuse(op)
    areas, shares = _areas(op, problem.dtype), cupy.empty(op.y_shape, dtype)
    tall = cupy.empty((op.n, op.c, op.p, op.w), dtype)
    sums, dx = cupy.empty(op.x_shape, dtype), cupy.empty(op.x_shape, dy.dtype)
    down, across = _slabs(op.windows, sums, tall, shares)

    def call() -> Tensor:
        cupy.divide(dy, areas, out=shares)
        for whole, slabs in ((tall, across), (sums, down)):
            whole.fill(0)
            for window, share in slabs:
                cupy.add(window, share, out=window)
        cupy.copyto(dx, sums)
        return dx

    return call


def _slabs(
    windows: Windows, images: Tensor, tall: Tensor, outputs: Tensor
) -> tuple[list[tuple[Tensor, Tensor]], list[tuple[Tensor, Tensor]]]:
    """Return the rows that each row of `tall` stands for, and the columns of `tall` that each column of the outputs does."""
    down = [(images[..., a:b, :], tall[..., i : i + 1, :]) for i, (a, b) in enumerate(windows.rows)]
    across = [(tall[..., a:b], outputs[..., j : j + 1]) for j, (a, b) in enumerate(windows.columns)]
    return down, across
