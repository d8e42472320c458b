"""The three loops of a matrix product."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _loops(a, b, c):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(a.shape[0]):
        for j in range(b.shape[1]):
            total = c.dtype.type(0)
            for k in range(a.shape[1]):
                total += a[i, k] * b[k, j]
            c[i, j] = total
    return c


@njit(cache=True)
def _batched(a, b, c):  # type: ignore[no-untyped-def]  # numba infers the types
    for index in range(c.shape[0]):
        _loops(a[index], b[index], c[index])
    return c


@njit(cache=True)
def _scaled(a, b, c, alpha, beta, c0):  # type: ignore[no-untyped-def]  # numba infers the types
    _loops(a, b, c)
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            c[i, j] *= alpha
            if beta != 0:
                c[i, j] += beta * c0[i, j]
    return c


@njit(cache=True)
def _batched_scaled(a, b, c, alpha, beta, c0):  # type: ignore[no-untyped-def]  # numba infers the types
    for index in range(c.shape[0]):
        _scaled(a[index], b[index], c[index], alpha, beta, c0[index])
    return c


@implements("matmul", variant="naive")
def naive(problem: Problem, a: Tensor, b: Tensor, *c0: Tensor) -> Call:
    """Loops over i and j, and the sum over k; a transposed operand is read across its rows."""
    op = problem.op
    if not isinstance(op, Matmul):
        raise TypeError(f"not a matrix product: {op!r}")
    left = np.swapaxes(a, -1, -2) if op.trans_a else a
    right = np.swapaxes(b, -1, -2) if op.trans_b else b
    c = np.empty(op.outputs(problem.direction)["c"], a.dtype)
    if op.plain:
        return partial(_loops if op.batch == 1 else _batched, left, right, c)
    factors = a.dtype.type(op.alpha), a.dtype.type(op.beta)
    added = c0[0] if c0 else c  # which is not read where beta is 0
    return partial(_scaled if op.batch == 1 else _batched_scaled, left, right, c, *factors, added)
