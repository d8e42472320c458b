"""Sums of rows through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


@implements("sum", variant="library", dtypes=DTYPES)
@implements("sum", variant="native", dtypes=DTYPES)
def row_sums(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.sum over the last axis."""
    return partial(torch.sum, x, -1)
