"""Rows and elements by index, and matrices side by side, as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


def _output(problem: Problem) -> Tensor:
    ((name, shape),) = problem.op.outputs(problem.direction).items()
    return np.empty(shape, problem.format(name))


@njit(cache=True)
def _embedding(indices, table, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.shape[0]):
        row = indices[i]
        for j in range(y.shape[1]):
            y[i, j] = table[row, j]
    return y


@njit(cache=True)
def _embedding_gradient(indices, dy, dtable):  # type: ignore[no-untyped-def]  # numba infers the types
    dtable[:] = 0
    for i in range(dy.shape[0]):
        row = indices[i]
        for j in range(dy.shape[1]):
            dtable[row, j] += dy[i, j]
    return dtable


@njit(cache=True)
def _gather(x, index, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = x[index[i, j], j]
    return y


@njit(cache=True)
def _gather_gradient(index, dy, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    dx[:] = 0
    for i in range(dy.shape[0]):
        for j in range(dy.shape[1]):
            dx[index[i, j], j] += dy[i, j]
    return dx


@njit(cache=True)
def _scatter_add(x, index, src, y):  # type: ignore[no-untyped-def]  # numba infers the types
    y[:] = x
    for i in range(src.shape[0]):
        for j in range(src.shape[1]):
            y[index[i, j], j] += src[i, j]
    return y


@njit(cache=True)
def _copy_columns(source, first_read, target, first_written, cols):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(source.shape[0]):
        for j in range(cols):
            target[i, first_written + j] = source[i, first_read + j]


@implements("embedding", variant="naive")
def embedding(problem: Problem, indices: Tensor, table: Tensor) -> Call:
    """Each row, element by element."""
    return partial(_embedding, indices, table, _output(problem))


@implements("embedding", variant="naive", directions=("backward_weight",))
def embedding_gradient(problem: Problem, indices: Tensor, dy: Tensor) -> Call:
    """Zeros, and each gradient added to its row."""
    return partial(_embedding_gradient, indices, dy, _output(problem))


@implements("gather", variant="naive")
def gather(problem: Problem, x: Tensor, index: Tensor) -> Call:
    """Each element from where its index says."""
    return partial(_gather, x, index, _output(problem))


@implements("gather", variant="naive", directions=("backward",))
def gather_gradient(problem: Problem, index: Tensor, dy: Tensor) -> Call:
    """Zeros, and each gradient added where its index says."""
    return partial(_gather_gradient, index, dy, _output(problem))


@implements("scatter_add", variant="naive")
def scatter_add(problem: Problem, x: Tensor, index: Tensor, src: Tensor) -> Call:
    """A copy of x, and each number added where its index says."""
    return partial(_scatter_add, x, index, src, _output(problem))


@implements("concat", variant="naive")
def concat(problem: Problem, *parts: Tensor) -> Call:
    """One matrix after the other, element by element."""
    y, cols = _output(problem), parts[0].shape[1]

    def call() -> Tensor:
        for number, part in enumerate(parts):
            _copy_columns(part, 0, y, number * cols, cols)
        return y

    return call


@implements("concat", variant="naive", directions=("backward",))
def split(problem: Problem, dy: Tensor) -> Call:
    """One part after the other, element by element."""
    shapes = problem.op.outputs("backward").values()
    parts = tuple(np.empty(shape, dy.dtype) for shape in shapes)
    cols = parts[0].shape[1]

    def call() -> tuple[Tensor, ...]:
        for number, part in enumerate(parts):
            _copy_columns(dy, number * cols, part, 0, cols)
        return parts

    return call
