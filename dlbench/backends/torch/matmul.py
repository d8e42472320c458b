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
def product(problem: Problem, a: torch.Tensor, b: torch.Tensor, *c0: torch.Tensor) -> Call:
    """torch.matmul on views of the stored operands, torch.addmm or baddbmm where there are alpha and beta.

    Where beta is 0 those do not read what is to be added, for which any single number will do.
    """
    op = problem.op
    if not isinstance(op, Matmul):
        raise TypeError(f"not a matrix product: {op!r}")
    left, right = a.mT if op.trans_a else a, b.mT if op.trans_b else b
    if op.plain:
        return partial(torch.matmul, left, right)
    scaled = torch.addmm if op.batch == 1 else torch.baddbmm
    added = c0[0] if c0 else a.new_zeros(1)
    return partial(scaled, added, left, right, alpha=op.alpha, beta=op.beta)
