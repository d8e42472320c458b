"""The transpose through torch, in memory of its own: a view of the matrix would cost nothing."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


@implements("transpose", variant="library", dtypes=DTYPES)
@implements("transpose", variant="native", dtypes=DTYPES)
def transpose(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """A copy of the transposed view into a contiguous matrix."""
    y = torch.empty((x.shape[1], x.shape[0]), dtype=x.dtype, device=x.device)
    return partial(y.copy_, x.mT)
