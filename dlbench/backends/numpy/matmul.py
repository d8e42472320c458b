"""Matrix products by BLAS."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("matmul", variant="library")
def library(problem: Problem, a: Tensor, b: Tensor, *c0: Tensor) -> Call:
    """numpy.matmul into an output of its own; it does not scale, so that alpha and beta are passes of their own."""
    op = problem.op
    if not isinstance(op, Matmul):
        raise TypeError(f"not a matrix product: {op!r}")
    left = np.swapaxes(a, -1, -2) if op.trans_a else a
    right = np.swapaxes(b, -1, -2) if op.trans_b else b
    c = np.empty(op.outputs(problem.direction)["c"], a.dtype)
    if op.plain:
        return lambda: np.matmul(left, right, out=c)
    alpha, beta = op.alpha, op.beta
    added = tuple((one, np.empty_like(one)) for one in c0)

    def call() -> Tensor:
        np.matmul(left, right, out=c)
        np.multiply(c, alpha, out=c)
        for one, scaled in added:
            np.add(c, np.multiply(one, beta, out=scaled), out=c)
        return c

    return call
