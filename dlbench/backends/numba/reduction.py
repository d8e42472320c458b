"""Reductions of rows as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _row_sums(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(x.shape[0]):
        total = y.dtype.type(0)
        for j in range(x.shape[1]):
            total += x[i, j]
        y[i] = total
    return y


@njit(cache=True)
def _row_means(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(x.shape[0]):
        total = y.dtype.type(0)
        for j in range(x.shape[1]):
            total += x[i, j]
        y[i] = total / x.shape[1]
    return y


@njit(cache=True)
def _row_norms(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(x.shape[0]):
        total = y.dtype.type(0)
        for j in range(x.shape[1]):
            total += x[i, j] * x[i, j]
        y[i] = np.sqrt(total)
    return y


@njit(cache=True)
def _row_maxima(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(1, x.shape[1]):
            largest = max(largest, x[i, j])
        y[i] = largest
    return y


@njit(cache=True)
def _row_argmaxima(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(x.shape[0]):
        column = 0
        for j in range(1, x.shape[1]):
            if x[i, j] > x[i, column]:
                column = j
        y[i] = column
    return y


@implements("sum", variant="naive")
def row_sums(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The loop over a row, for each row."""
    return partial(_row_sums, x, np.empty(x.shape[0], x.dtype))


@implements("mean", variant="naive")
def row_means(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The loop over a row, and a division."""
    return partial(_row_means, x, np.empty(x.shape[0], x.dtype))


@implements("norm2", variant="naive")
def row_norms(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The loop over the squares of a row, and a root."""
    return partial(_row_norms, x, np.empty(x.shape[0], x.dtype))


@implements("max", variant="naive")
def row_maxima(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The loop over a row that keeps the larger one."""
    return partial(_row_maxima, x, np.empty(x.shape[0], x.dtype))


@implements("argmax", variant="naive")
def row_argmaxima(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The loop over a row that keeps the place of the larger one: the first of equal ones."""
    return partial(_row_argmaxima, x, np.empty(x.shape[0], np.int64))
