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
def _weigh(query, keys, weights, seen, scale):  # type: ignore[no-untyped-def]  # numba infers the types
    for j in range(seen):
        dot = weights.dtype.type(0)
        for d in range(query.shape[0]):
            dot += query[d] * keys[j, d]
        weights[j] = scale * dot
    largest = weights[0]
    for j in range(seen):
        largest = max(largest, weights[j])
    total = weights.dtype.type(0)
    for j in range(seen):
        weights[j] = np.exp(weights[j] - largest)
        total += weights[j]
    for j in range(seen):
        weights[j] /= total


@njit(cache=True)
def _attention(q, k, v, o, weights, scale, causal):  # type: ignore[no-untyped-def]  # numba infers the types
    batches, heads, queries, dim = q.shape
    group = heads // k.shape[1]
    for batch in range(batches):
        for head in range(heads):
            keys, values = k[batch, head // group], v[batch, head // group]
            for i in range(queries):
                seen = i + 1 if causal else keys.shape[0]
                _weigh(q[batch, head, i], keys, weights, seen, scale)
                for d in range(dim):
                    mixed = o.dtype.type(0)
                    for j in range(seen):
                        mixed += weights[j] * values[j, d]
                    o[batch, head, i, d] = mixed
    return o


@njit(cache=True)
def _gradient_of_a_query(query, keys, values, upstream, dquery, dkeys, dvalues, weights, slopes, seen, scale):  # type: ignore[no-untyped-def]  # numba infers the types
    dim = query.shape[0]
    mean = weights.dtype.type(0)
    for j in range(seen):
        dot = weights.dtype.type(0)
        for d in range(dim):
            dot += upstream[d] * values[j, d]
        slopes[j] = dot
        mean += weights[j] * dot
    for d in range(dim):
        dquery[d] = 0
    for j in range(seen):
        slope = scale * weights[j] * (slopes[j] - mean)
        for d in range(dim):
            dquery[d] += slope * keys[j, d]
            dkeys[j, d] += slope * query[d]
            dvalues[j, d] += weights[j] * upstream[d]


@njit(cache=True)
def _gradients(q, k, v, do, dq, dk, dv, weights, slopes, scale, causal):  # type: ignore[no-untyped-def]  # numba infers the types
    batches, heads, queries, _ = q.shape
    group = heads // k.shape[1]
    dk[:] = 0
    dv[:] = 0
    for batch in range(batches):
        for head in range(heads):
            shared = head // group
            for i in range(queries):
                seen = i + 1 if causal else k.shape[2]
                _weigh(q[batch, head, i], k[batch, shared], weights, seen, scale)
                _gradient_of_a_query(
                    q[batch, head, i], k[batch, shared], v[batch, shared], do[batch, head, i],
                    dq[batch, head, i], dk[batch, shared], dv[batch, shared], weights, slopes, seen, scale,
                )  # fmt: skip
    return dq, dk, dv


@implements("attention", variant="naive")
def naive(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Call:
    """Holds the weights of one query at a time; a causal one leaves out the keys that it does not see."""
    op = _op(problem)
    weights, scale = np.empty(op.seq_k, q.dtype), q.dtype.type(op.scale)
    return partial(_attention, q, k, v, np.empty_like(q), weights, scale, op.causal)


@implements("attention", variant="naive", directions=("backward",))
def naive_backward(problem: Problem, q: Tensor, k: Tensor, v: Tensor, do: Tensor) -> Call:
    """Computes the weights of one query at a time again, and adds what it gives to the gradients of its keys and values."""
    op = _op(problem)
    dq, dk, dv = np.empty_like(q), np.empty_like(k), np.empty_like(v)
    weights, slopes = np.empty(op.seq_k, q.dtype), np.empty(op.seq_k, q.dtype)
    scale = q.dtype.type(op.scale)
    return partial(_gradients, q, k, v, do, dq, dk, dv, weights, slopes, scale, op.causal)


def _op(problem: Problem) -> Attention:
    op = problem.op
    if not isinstance(op, Attention):
        raise TypeError(f"not attention: {op!r}")
    return op
