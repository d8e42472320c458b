"""Attention as loops over each query: its scores, their softmax, the weighted sum of the values."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.attention import Attention
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _attention(q, k, v, o, scores, scale, causal):  # type: ignore[no-untyped-def]  # numba infers the types
    batches, heads, queries, dim = o.shape
    for batch in range(batches):
        for head in range(heads):
            for i in range(queries):
                seen = i + 1 if causal else k.shape[2]
                for j in range(seen):
                    dot = o.dtype.type(0)
                    for d in range(dim):
                        dot += q[batch, head, i, d] * k[batch, head, j, d]
                    scores[j] = scale * dot
                largest = scores[0]
                for j in range(seen):
                    largest = max(largest, scores[j])
                total = o.dtype.type(0)
                for j in range(seen):
                    scores[j] = np.exp(scores[j] - largest)
                    total += scores[j]
                for d in range(dim):
                    mixed = o.dtype.type(0)
                    for j in range(seen):
                        mixed += scores[j] * v[batch, head, j, d]
                    o[batch, head, i, d] = mixed / total
    return o


@implements("attention", variant="naive")
def naive(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Call:
    """Holds the scores of one query at a time; a causal one leaves out the keys that it does not see."""
    op = problem.op
    if not isinstance(op, Attention):
        raise TypeError(f"not attention: {op!r}")
    scores, scale = np.empty(op.seq_k, q.dtype), q.dtype.type(op.scale)
    return partial(_attention, q, k, v, np.empty_like(q), scores, scale, op.causal)
