"""Sums of rows as loops on one core."""

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


@implements("sum", variant="naive")
def row_sums(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The loop over a row, for each row."""
    return partial(_row_sums, x, np.empty(x.shape[0], x.dtype))
