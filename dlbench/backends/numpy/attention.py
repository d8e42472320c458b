"""Attention by BLAS and array expressions: all scores in memory, then their softmax, then the values."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.attention import Attention
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("attention", variant="library")
def library(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Call:
    """Two products by BLAS and a softmax in place between them."""
    op = problem.op
    if not isinstance(op, Attention):
        raise TypeError(f"not attention: {op!r}")
    turned, scale = k.swapaxes(-1, -2), q.dtype.type(op.scale)
    hidden = np.triu(np.ones((op.seq_q, op.seq_k), bool), 1) if op.causal else None
    scores = np.empty((op.batch, op.heads, op.seq_q, op.seq_k), q.dtype)
    o = np.empty_like(q)

    def call() -> Tensor:
        np.matmul(q, turned, out=scores)
        np.multiply(scores, scale, out=scores)
        if hidden is not None:
            np.copyto(scores, -np.inf, where=hidden)
        np.subtract(scores, scores.max(axis=-1, keepdims=True), out=scores)
        np.exp(scores, out=scores)
        np.divide(scores, scores.sum(axis=-1, keepdims=True), out=scores)
        return np.matmul(scores, v, out=o)

    return call
