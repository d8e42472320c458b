"""Attention as products of cuBLAS with a softmax between them."""

from __future__ import annotations

import math

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.matmul import LIBRARY_DTYPES, Product, product_call
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.backends.cupy.softmax import softmax_call, wide
from dlbench.ops.attention import Attention
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


def _op(problem: Problem) -> Attention:
    op = problem.op
    if not isinstance(op, Attention):
        raise TypeError(f"not attention: {op!r}")
    return op


@implements("attention", variant="library", dtypes=LIBRARY_DTYPES)
def library(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Call:
    """The scores q kᵀ / sqrt(dim) of all heads in memory, their softmax, and the product with v.

    A causal mask is added to the scores in a pass of its own.
    """
    op, dtype = _op(problem), problem.dtype
    heads, rows = op.batch * op.key_heads, op.group * op.seq_q
    weights, o = _scores(op, q.dtype), only(outputs_of(problem))
    weigh = _weigh(problem, q, k, weights)
    combine = product_call(Product(rows, op.dim, op.seq_k, heads), dtype, weights, v, o)

    def call() -> Tensor:
        weigh()
        return combine()

    return call


@implements("attention", variant="library", directions=("backward",), dtypes=LIBRARY_DTYPES)
def library_backward(problem: Problem, q: Tensor, k: Tensor, v: Tensor, do: Tensor) -> Call:
    """The weights again, the gradient of the scores in three passes over them, and four products."""
    op, dtype = _op(problem), problem.dtype
    heads, rows, keys, dim = op.batch * op.key_heads, op.group * op.seq_q, op.seq_k, op.dim
    weights, by_weight, by_score = (_scores(op, q.dtype) for _ in range(3))
    product = _scores(op, wide(dtype))
    mean = cupy.empty((*product.shape[:-1], 1), product.dtype)
    dq, dk, dv = outputs_of(problem)
    weigh = _weigh(problem, q, k, weights)
    to_weights = product_call(Product(rows, keys, dim, heads, trans_b=True), dtype, do, v, by_weight)
    to_values = product_call(Product(keys, dim, rows, heads, trans_a=True), dtype, weights, do, dv)
    to_queries = product_call(Product(rows, dim, keys, heads, alpha=op.scale), dtype, by_score, k, dq)
    to_keys = product_call(
        Product(keys, dim, rows, heads, trans_a=True, alpha=op.scale), dtype, by_score, q, dk
    )

    def call() -> tuple[Tensor, ...]:
        weigh()
        to_weights()
        cupy.multiply(weights, by_weight, out=product, dtype=product.dtype)
        cupy.sum(product, axis=-1, keepdims=True, out=mean)
        cupy.subtract(by_weight, mean, out=product, dtype=product.dtype)
        cupy.multiply(product, weights, out=by_score)
        to_queries()
        to_keys()
        to_values()
        return dq, dk, dv

    return call


def _scores(op: Attention, dtype: object) -> Tensor:
    """Return room for all scores; queries that share a head of keys stand below one another."""
    return cupy.empty((op.batch, op.key_heads, op.group * op.seq_q, op.seq_k), dtype)


def _weigh(problem: Problem, q: Tensor, k: Tensor, weights: Tensor) -> Call:
    """Return a call that writes the softmax of the scores."""
    op = _op(problem)
    heads, rows = op.batch * op.key_heads, op.group * op.seq_q
    by_keys = Product(rows, op.seq_k, op.dim, heads, trans_b=True, alpha=op.scale)
    score = product_call(by_keys, problem.dtype, q, k, weights)
    softmax = softmax_call(problem.dtype, weights, weights)
    by_head = weights.reshape(op.batch * op.heads, op.seq_q, op.seq_k)
    mask = _mask(by_head) if op.causal else None

    def call() -> None:
        score()
        if mask is not None:
            cupy.add(by_head, mask, out=by_head)
        softmax()

    return call


def _mask(scores: Tensor) -> Tensor:
    """Return what hides from each query the keys after it: minus infinity there, 0 elsewhere."""
    mask = cupy.zeros(scores.shape[1:], scores.dtype)
    mask[cupy.triu(cupy.ones(mask.shape, bool), 1)] = -math.inf
    return mask
