"""Pooling as loops over the windows and over the elements of each."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.op import Direction
from dlbench.ops.pool import AvgPool, MaxPool, Pool
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]

BACKWARD: tuple[Direction, ...] = ("backward",)


@njit(cache=True)
def _max(x, y, rows, columns):  # type: ignore[no-untyped-def]  # numba infers the types
    n_, c_, p_, q_ = y.shape
    for n in range(n_):
        for c in range(c_):
            for p in range(p_):
                for q in range(q_):
                    largest = x[n, c, rows[p, 0], columns[q, 0]]
                    for i in range(rows[p, 0], rows[p, 1]):
                        for j in range(columns[q, 0], columns[q, 1]):
                            largest = max(largest, x[n, c, i, j])
                    y[n, c, p, q] = largest
    return y


@njit(cache=True)
def _max_backward(positions, dy, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    n_, c_, p_, q_ = dy.shape
    width = dx.shape[3]
    dx[...] = 0
    for n in range(n_):
        for c in range(c_):
            for p in range(p_):
                for q in range(q_):
                    at = positions[n, c, p, q]
                    dx[n, c, at // width, at % width] += dy[n, c, p, q]
    return dx


@njit(cache=True)
def _avg(x, y, rows, columns, areas):  # type: ignore[no-untyped-def]  # numba infers the types
    n_, c_, p_, q_ = y.shape
    for n in range(n_):
        for c in range(c_):
            for p in range(p_):
                for q in range(q_):
                    total = y.dtype.type(0)
                    for i in range(rows[p, 0], rows[p, 1]):
                        for j in range(columns[q, 0], columns[q, 1]):
                            total += x[n, c, i, j]
                    y[n, c, p, q] = total / areas[p, q]
    return y


@njit(cache=True)
def _avg_backward(dy, dx, rows, columns, areas):  # type: ignore[no-untyped-def]  # numba infers the types
    n_, c_, p_, q_ = dy.shape
    dx[...] = 0
    for n in range(n_):
        for c in range(c_):
            for p in range(p_):
                for q in range(q_):
                    share = dy[n, c, p, q] / areas[p, q]
                    for i in range(rows[p, 0], rows[p, 1]):
                        for j in range(columns[q, 0], columns[q, 1]):
                            dx[n, c, i, j] += share
    return dx


def _spans(op: Pool) -> tuple[Tensor, Tensor]:
    """Return where the windows begin and end, as two arrays: windows × 2."""
    windows = op.windows
    return np.array(windows.rows, np.intp), np.array(windows.columns, np.intp)


@implements("max_pool2d", variant="naive")
@implements("adaptive_max_pool2d", variant="naive")
def max_forward(problem: Problem, x: Tensor) -> Call:
    """The largest so far, element by element; the padding is not looked at."""
    op = problem.op
    if not isinstance(op, MaxPool):
        raise TypeError(f"not a max pooling: {op!r}")
    return partial(_max, x, np.empty(op.y_shape, x.dtype), *_spans(op))


@implements("max_pool2d", variant="naive", directions=BACKWARD)
@implements("adaptive_max_pool2d", variant="naive", directions=BACKWARD)
def max_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """Each gradient, added to where its window's largest element is known to be."""
    op = problem.op
    if not isinstance(op, MaxPool):
        raise TypeError(f"not a max pooling: {op!r}")
    return partial(_max_backward, op.positions(x), dy, np.empty_like(x))


@implements("avg_pool2d", variant="naive")
@implements("adaptive_avg_pool2d", variant="naive")
def avg_forward(problem: Problem, x: Tensor) -> Call:
    """The sum so far, element by element, and a division; the padding is not looked at."""
    op = problem.op
    if not isinstance(op, AvgPool):
        raise TypeError(f"not an average pooling: {op!r}")
    return partial(_avg, x, np.empty(op.y_shape, x.dtype), *_spans(op), op.areas.astype(x.dtype))


@implements("avg_pool2d", variant="naive", directions=BACKWARD)
@implements("adaptive_avg_pool2d", variant="naive", directions=BACKWARD)
def avg_backward(problem: Problem, dy: Tensor) -> Call:
    """A division for each window, and its share added to each element."""
    op = problem.op
    if not isinstance(op, AvgPool):
        raise TypeError(f"not an average pooling: {op!r}")
    return partial(_avg_backward, dy, np.empty(op.x_shape, dy.dtype), *_spans(op), op.areas.astype(dy.dtype))
