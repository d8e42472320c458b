"""Dropout as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.dropout import Dropout
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _dropout(x, p, factor, y, mask):  # type: ignore[no-untyped-def]  # numba infers the types
    zero = y.dtype.type(0)
    for i in range(x.size):
        mask[i] = np.random.random() >= p  # noqa: NPY002 - numba's own generator
        y[i] = factor * x[i] if mask[i] else zero
    return y, mask


@njit(cache=True)
def _dropout_backward(dy, mask, factor, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    zero = dx.dtype.type(0)
    for i in range(dy.size):
        dx[i] = factor * dy[i] if mask[i] else zero
    return dx


@implements("dropout", variant="naive")
def dropout(problem: Problem, x: Tensor) -> Call:
    """A number for each element from numba's generator, a Mersenne Twister that the system's entropy seeds."""
    op = _op(problem)
    return partial(_dropout, x, op.p, x.dtype.type(op.factor), np.empty_like(x), np.empty(x.shape, bool))


@implements("dropout", variant="naive", directions=("backward",))
def dropout_backward(problem: Problem, dy: Tensor, mask: Tensor) -> Call:
    """The product with the factor where the mask is true."""
    return partial(_dropout_backward, dy, mask, dy.dtype.type(_op(problem).factor), np.empty_like(dy))


def _op(problem: Problem) -> Dropout:
    op = problem.op
    if not isinstance(op, Dropout):
        raise TypeError(f"not dropout: {op!r}")
    return op
