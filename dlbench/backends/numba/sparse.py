"""Products of a sparse and a dense matrix as loops on one core."""

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
def _by_rows(values, columns, starts, b, c):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            total = c.dtype.type(0)
            for place in range(starts[i], starts[i + 1]):
                total += values[place] * b[columns[place], j]
            c[i, j] = total
    return c


@njit(cache=True)
def _without_zeros(a, b, c):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            total = c.dtype.type(0)
            for k in range(a.shape[1]):
                if a[i, k] != 0:
                    total += a[i, k] * b[k, j]
            c[i, j] = total
    return c


@implements("spmm", variant="naive")
def by_rows(problem: Problem, values: Tensor, columns: Tensor, starts: Tensor, b: Tensor) -> Call:
    """Loops over i and j, and the sum over the elements of row i."""
    return partial(
        _by_rows, values, columns, starts, b, np.empty(problem.op.outputs("forward")["c"], b.dtype)
    )


@implements("sparse24", variant="naive")
def without_zeros(problem: Problem, a: Tensor, b: Tensor) -> Call:
    """Loops over i and j, and the sum over k, the zeros of a skipped."""
    return partial(_without_zeros, a, b, np.empty(problem.op.outputs("forward")["c"], a.dtype))
