"""Matrix products of 8-bit numbers as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("int8_matmul", variant="native", dtypes=("int8",))
def int8(problem: Problem, a: Tensor, b: Tensor) -> Call:
    """numpy.matmul in int32, by its own loops: BLAS knows no whole numbers."""
    c = np.empty(problem.op.outputs("forward")["c"], np.int32)
    return lambda: np.matmul(a, b, out=c, dtype=np.int32)
