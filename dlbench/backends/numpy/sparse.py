"""Products of a sparse and a dense matrix by scipy and as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("spmm", variant="library")
def library(problem: Problem, values: Tensor, columns: Tensor, starts: Tensor, b: Tensor) -> Call:  # noqa: ARG001
    """scipy.sparse on one core, into a new array at each call."""
    from scipy.sparse import csr_array  # a worker of other cases does not wait for it

    a: Any = csr_array((values, columns, starts), shape=(starts.size - 1, b.shape[0]))
    return lambda: a @ b


@implements("spmm", variant="native")
def native(problem: Problem, values: Tensor, columns: Tensor, starts: Tensor, b: Tensor) -> Call:
    """The rows of b that are wanted, gathered as columns, scaled, and added up for each row of a that has elements."""
    c = np.empty(problem.op.outputs("forward")["c"], b.dtype)
    filled = np.flatnonzero(np.diff(starts))
    first, turned = starts[filled], b.T
    terms = np.empty((b.shape[1], values.size), b.dtype)
    sums = np.empty((b.shape[1], filled.size), b.dtype)  # along the last axis, where numpy adds up fastest

    def call() -> Tensor:
        np.take(turned, columns, axis=1, out=terms, mode="clip")  # unlike `raise`, which takes a buffer
        np.multiply(terms, values, out=terms)
        np.add.reduceat(terms, first, axis=1, out=sums)
        c.fill(0)
        c[filled] = sums.T
        return c

    return call


@implements("sparse24", variant="library")
def dense(problem: Problem, a: Tensor, b: Tensor) -> Call:
    """The dense product by BLAS, zeros and all."""
    c = np.empty(problem.op.outputs("forward")["c"], a.dtype)
    return lambda: np.matmul(a, b, out=c)
