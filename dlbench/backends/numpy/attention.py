"""Attention by BLAS and array expressions: all scores in memory, then their softmax, then the values."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.attention import Attention
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


def _op(problem: Problem) -> Attention:
    op = problem.op
    if not isinstance(op, Attention):
        raise TypeError(f"not attention: {op!r}")
    return op


@implements("attention", variant="library")
def library(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Call:
    """Two products by BLAS and a softmax in place between them."""
    op = _op(problem)
    weights, o = _scores(op, q), np.empty_like(q)
    weigh, rows = _weigh(op, q, k, weights), _folded(op, o)

    def call() -> Tensor:
        weigh()
        np.matmul(weights, v, out=rows)
        return o

    return call


@implements("attention", variant="library", directions=("backward",))
def library_backward(problem: Problem, q: Tensor, k: Tensor, v: Tensor, do: Tensor) -> Call:
    """Five products by BLAS; the weights are computed again."""
    op = _op(problem)
    weights, by_weight, by_score = (_scores(op, q) for _ in range(3))
    weigh, scale = _weigh(op, q, k, weights), q.dtype.type(op.scale)
    dq, dk, dv = np.empty_like(q), np.empty_like(k), np.empty_like(v)
    queries, upstream, dq_rows = (_folded(op, one) for one in (q, do, dq))
    v_turned, weights_turned, by_score_turned = (one.swapaxes(-1, -2) for one in (v, weights, by_score))

    def call() -> tuple[Tensor, ...]:
        weigh()
        np.matmul(upstream, v_turned, out=by_weight)
        np.multiply(weights, by_weight, out=by_score)
        np.subtract(by_weight, by_score.sum(axis=-1, keepdims=True), out=by_weight)
        np.multiply(weights, by_weight, out=by_score)
        np.multiply(by_score, scale, out=by_score)
        np.matmul(by_score, k, out=dq_rows)
        np.matmul(by_score_turned, queries, out=dk)
        np.matmul(weights_turned, upstream, out=dv)
        return dq, dk, dv

    return call


def _folded(op: Attention, queries: Tensor) -> Tensor:
    """Return a view in which the queries that share a head of keys stand below one another."""
    return queries.reshape(op.batch, op.key_heads, op.group * op.seq_q, op.dim)


def _scores(op: Attention, q: Tensor) -> Tensor:
    return np.empty((op.batch, op.key_heads, op.group * op.seq_q, op.seq_k), q.dtype)


def _weigh(op: Attention, q: Tensor, k: Tensor, weights: Tensor) -> Call:
    """Return a call that writes the softmax of the scores."""
    queries, turned, scale = _folded(op, q), k.swapaxes(-1, -2), q.dtype.type(op.scale)
    hidden = np.tile(np.triu(np.ones((op.seq_q, op.seq_k), bool), 1), (op.group, 1)) if op.causal else None

    def call() -> None:
        np.matmul(queries, turned, out=weights)
        np.multiply(weights, scale, out=weights)
        if hidden is not None:
            np.copyto(weights, -np.inf, where=hidden)
        np.subtract(weights, weights.max(axis=-1, keepdims=True), out=weights)
        np.exp(weights, out=weights)
        np.divide(weights, weights.sum(axis=-1, keepdims=True), out=weights)

    return call
