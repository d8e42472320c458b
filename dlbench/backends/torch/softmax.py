"""softmax and log_softmax through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


@implements("softmax", variant="library", dtypes=DTYPES)
@implements("softmax", variant="native", dtypes=DTYPES)
def softmax(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.softmax over the last axis."""
    return partial(torch.softmax, x, -1)


@implements("log_softmax", variant="library", dtypes=DTYPES)
@implements("log_softmax", variant="native", dtypes=DTYPES)
def log_softmax(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.log_softmax over the last axis."""
    return partial(torch.log_softmax, x, -1)
