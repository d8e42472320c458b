"""Rows and elements by index, and matrices side by side, as array operations on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16")


def _flattener(index: Tensor, cols: int) -> Callable[[], Tensor]:
    """Return what gives the places of the index's elements in a matrix of so many columns as flat positions.

    They are worked out in each call, into the same memory.
    """
    flat, columns = cupy.empty(index.shape, index.dtype), cupy.arange(cols)

    def flattened() -> Tensor:
        cupy.multiply(index, cols, out=flat)
        return cupy.add(flat, columns, out=flat)

    return flattened


@implements("embedding", variant="library", dtypes=DTYPES)
def embedding(problem: Problem, indices: Tensor, table: Tensor) -> Call:
    """cupy.take of rows."""
    y = only(outputs_of(problem))

    def call() -> Tensor:
        cupy.take(table, indices, axis=0, out=y)
        return y

    return call


@implements("embedding", variant="library", directions=("backward_weight",), dtypes=DTYPES)
def embedding_gradient(problem: Problem, indices: Tensor, dy: Tensor) -> Call:
    """Zeros, and cupy.add.at, which adds atomically, in any order."""
    dtable = only(outputs_of(problem))

    def call() -> Tensor:
        dtable.fill(0)
        cupy.add.at(dtable, indices, dy)
        return dtable

    return call


@implements("gather", variant="library", dtypes=DTYPES)
def gather(problem: Problem, x: Tensor, index: Tensor) -> Call:
    """cupy.take at flat positions, as cupy.take_along_axis has it."""
    y, positions = only(outputs_of(problem)), _flattener(index, x.shape[1])

    def call() -> Tensor:
        cupy.take(x, positions(), out=y)
        return y

    return call


@implements("gather", variant="library", directions=("backward",), dtypes=DTYPES)
def gather_gradient(problem: Problem, index: Tensor, dy: Tensor) -> Call:
    """Zeros, and cupy.add.at by flat positions, which adds atomically, in any order."""
    dx = only(outputs_of(problem))
    positions, flat, values = _flattener(index, dx.shape[1]), dx.reshape(-1), dy.reshape(-1)

    def call() -> Tensor:
        dx.fill(0)
        cupy.add.at(flat, positions().reshape(-1), values)
        return dx

    return call


@implements("scatter_add", variant="library", dtypes=DTYPES)
def scatter_add(problem: Problem, x: Tensor, index: Tensor, src: Tensor) -> Call:
    """A copy of x, and cupy.add.at by flat positions, which adds atomically, in any order."""
    y = only(outputs_of(problem))
    positions, flat, values = _flattener(index, x.shape[1]), y.reshape(-1), src.reshape(-1)

    def call() -> Tensor:
        cupy.copyto(y, x)
        cupy.add.at(flat, positions().reshape(-1), values)
        return y

    return call


@implements("concat", variant="library", dtypes=DTYPES)
def concat(problem: Problem, *parts: Tensor) -> Call:
    """cupy.concatenate along the last axis."""
    y = only(outputs_of(problem))

    def call() -> Tensor:
        cupy.concatenate(parts, axis=-1, out=y)
        return y

    return call


@implements("concat", variant="library", directions=("backward",), dtypes=DTYPES)
def split(problem: Problem, dy: Tensor) -> Call:
    """A copy of each part's columns."""
    parts = outputs_of(problem)
    cols = parts[0].shape[1]
    pieces = [dy[:, number * cols : (number + 1) * cols] for number in range(len(parts))]
    result = only(parts)

    def call() -> Tensor:
        for part, piece in zip(parts, pieces, strict=True):
            cupy.copyto(part, piece)
        return result

    return call
