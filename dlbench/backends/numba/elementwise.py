"""Functions of single elements as loops on one core."""

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
def _relu(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    zero = y.dtype.type(0)
    for i in range(y.size):
        y[i] = max(x[i], zero)
    return y


@implements("relu", variant="naive")
def relu(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The larger of x and 0."""
    return partial(_relu, x, np.empty_like(x))
