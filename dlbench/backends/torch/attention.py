"""Attention through torch: the fused operator, and its three steps one by one."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import scaled_dot_product_attention

from dlbench.backends.backend import implements
from dlbench.ops.attention import Attention
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
"""Not tf32: the fused kernels choose by themselves how they multiply float32 numbers."""


def _op(problem: Problem) -> Attention:
    op = problem.op
    if not isinstance(op, Attention):
        raise TypeError(f"not attention: {op!r}")
    return op


@implements("attention", variant="library", dtypes=DTYPES)
def fused(problem: Problem, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Call:
    """scaled_dot_product_attention, by whichever of its kernels torch chooses for the inputs."""
    return partial(scaled_dot_product_attention, q, k, v, is_causal=_op(problem).causal)


@implements("attention", variant="native", dtypes=(*DTYPES, "tf32"))
def unfused(problem: Problem, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Call:
    """A product, a softmax and a product, with all the scores in memory between them."""
    op = _op(problem)
    hidden = None
    if op.causal:
        hidden = torch.ones(op.seq_q, op.seq_k, dtype=torch.bool, device=q.device).triu_(1)

    def call() -> torch.Tensor:
        scores = torch.matmul(q, k.mT).mul_(op.scale)
        if hidden is not None:
            scores.masked_fill_(hidden, float("-inf"))
        return torch.matmul(torch.softmax(scores, -1), v)

    return call
