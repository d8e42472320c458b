"""softmax, log_softmax and their gradients as loops over each row."""

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


@njit(cache=True)
def _softmax_backward(y, dy, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.shape[0]):
        total = dx.dtype.type(0)
        for j in range(y.shape[1]):
            total += y[i, j] * dy[i, j]
        for j in range(y.shape[1]):
            dx[i, j] = y[i, j] * (dy[i, j] - total)
    return dx


@njit(cache=True)
def _log_softmax_backward(y, dy, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.shape[0]):
        total = dx.dtype.type(0)
        for j in range(y.shape[1]):
            total += dy[i, j]
        for j in range(y.shape[1]):
            dx[i, j] = dy[i, j] - np.exp(y[i, j]) * total
    return dx


@implements("softmax", variant="naive")
def softmax(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """Three loops over each row."""
    return partial(_softmax, x, np.empty_like(x))


@implements("softmax", variant="naive", directions=("backward",))
def softmax_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """A loop over each row for the sum of y dy, and one for dx."""
    return partial(_softmax_backward, y, dy, np.empty_like(y))


@implements("log_softmax", variant="naive")
def log_softmax(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """Three loops over each row."""
    return partial(_log_softmax, x, np.empty_like(x))


@implements("log_softmax", variant="naive", directions=("backward",))
def log_softmax_backward(problem: Problem, y: Tensor, dy: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """A loop over each row for the sum of dy, and one for dx."""
    return partial(_log_softmax_backward, y, dy, np.empty_like(y))
