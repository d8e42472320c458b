"""Matrix products through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16", "tf32")


@implements("matmul", variant="library", dtypes=DTYPES)
@implements("matmul", variant="native", dtypes=DTYPES)
def product(problem: Problem, a: torch.Tensor, b: torch.Tensor) -> Call:
    """torch.matmul on views of the stored operands."""
    op = problem.op
    if not isinstance(op, Matmul):
        raise TypeError(f"not a matrix product: {op!r}")
    return partial(torch.matmul, a.mT if op.trans_a else a, b.mT if op.trans_b else b)
