"""Matrix products of 8-bit numbers as loops on one core."""

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
def _int8(a, b, c):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(c.shape[0]):
        for j in range(c.shape[1]):
            total = np.int32(0)
            for k in range(a.shape[1]):
                total += np.int32(a[i, k]) * np.int32(b[k, j])
            c[i, j] = total
    return c


@implements("int8_matmul", variant="naive", dtypes=("int8",))
def int8(problem: Problem, a: Tensor, b: Tensor) -> Call:
    """Loops over i and j, and the sum over k."""
    return partial(_int8, a, b, np.empty(problem.op.outputs("forward")["c"], np.int32))
