"""softmax and log_softmax as loops over each row: the largest, the sum, the division."""

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
def _softmax(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(x.shape[1]):
            largest = max(largest, x[i, j])
        total = y.dtype.type(0)
        for j in range(x.shape[1]):
            y[i, j] = np.exp(x[i, j] - largest)
            total += y[i, j]
        for j in range(x.shape[1]):
            y[i, j] /= total
    return y


@njit(cache=True)
def _log_softmax(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(x.shape[0]):
        largest = x[i, 0]
        for j in range(x.shape[1]):
            largest = max(largest, x[i, j])
        total = y.dtype.type(0)
        for j in range(x.shape[1]):
            total += np.exp(x[i, j] - largest)
        shift = largest + np.log(total)
        for j in range(x.shape[1]):
            y[i, j] = x[i, j] - shift
    return y


@implements("softmax", variant="naive")
def softmax(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """Three loops over each row."""
    return partial(_softmax, x, np.empty_like(x))


@implements("log_softmax", variant="naive")
def log_softmax(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """Three loops over each row."""
    return partial(_log_softmax, x, np.empty_like(x))
