"""Functions of single elements through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


@implements("relu", variant="library", dtypes=DTYPES)
@implements("relu", variant="native", dtypes=DTYPES)
def relu(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.relu."""
    return partial(torch.relu, x)
