"""The transpose as two loops on one core."""

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
def _transpose(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[j, i] = x[i, j]
    return y


@implements("transpose", variant="naive")
def transpose(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """Reads along the rows, writes across them."""
    return partial(_transpose, x, np.empty((x.shape[1], x.shape[0]), x.dtype))
