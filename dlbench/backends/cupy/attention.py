"""Attention as two products of cuBLAS with a softmax between them."""

from __future__ import annotations

import math

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.matmul import LIBRARY_DTYPES, Product, product_call
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.backends.cupy.softmax import softmax_call
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


@implements("attention", variant="library", dtypes=LIBRARY_DTYPES)
def library(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Call:
    """The scores q kᵀ / sqrt(dim) of all heads in memory, their softmax, and the product with v.

    A causal mask is added to the scores in a pass of its own.
    """
    batch, heads, queries, dim = q.shape
    keys, dtype = k.shape[2], problem.dtype
    scores = cupy.empty((batch, heads, queries, keys), q.dtype)
    o = only(outputs_of(problem))
    by_keys = Product(queries, keys, dim, batch * heads, trans_b=True, alpha=1 / math.sqrt(dim))
    score = product_call(by_keys, dtype, q, k, scores)
    weigh = softmax_call(dtype, scores, scores)
    combine = product_call(Product(queries, dim, keys, batch * heads), dtype, scores, v, o)
    mask = _mask(scores) if problem.op.model_dump()["causal"] else None

    def call() -> Tensor:
        score()
        if mask is not None:
            cupy.add(scores, mask, out=scores)
        weigh()
        return combine()

    return call


def _mask(scores: Tensor) -> Tensor:
    """Return what hides from each query the keys after it: minus infinity there, 0 elsewhere."""
    mask = cupy.zeros(scores.shape[2:], scores.dtype)
    mask[cupy.triu(cupy.ones(mask.shape, bool), 1)] = -math.inf
    return mask
