"""Attention through cuBLAS and cuDNN over the stand-ins, where heads share keys."""

from __future__ import annotations

from typing import Any

import pytest
from standin_cudnn import Library
from standin_cupy import Card
from test_cupy_implementations import check, prepared

from dlbench.ops.attention import Attention
from dlbench.ops.problem import Problem

SHARED = Attention(batch=2, heads=6, kv_heads=2, seq_q=5, seq_k=5, dim=4, causal=True)


def test_heads_that_share_keys_are_one_product(backend: Any, card: Card) -> None:
    """15 queries on 5 keys, of 2 images' 2 heads of keys each: matrices by columns, and the scores before the outputs."""
    problem = Problem(SHARED)
    call, _ = prepared(backend, backend.find(problem, "library"), problem)
    check(backend, problem, call())
    assert [product[:3] for product in card.products] == [(5, 15, 4)] * 4 + [(4, 15, 5)] * 4


def test_the_gradients_are_five_products(backend: Any, card: Card) -> None:
    problem = Problem(SHARED, direction="backward")
    call, _ = prepared(backend, backend.find(problem, "library"), problem)
    check(backend, problem, call())
    scores, weights, queries, keys, values = (card.products[start][:3] for start in range(0, 20, 4))
    assert (scores, weights) == ((5, 15, 4), (5, 15, 4))
    assert queries == (4, 15, 5)
    assert (keys, values) == ((4, 5, 15), (4, 5, 15))


@pytest.mark.parametrize("causal", [False, True])
def test_cudnn_is_told_of_fewer_heads_of_keys(backend: Any, cudnn: Library, causal: bool) -> None:
    op = Attention(batch=2, heads=6, kv_heads=2, seq_q=8, seq_k=8, dim=16, causal=causal)
    problem = Problem(op, "float16")
    call, _ = prepared(backend, backend.find(problem, "cudnn"), problem)
    check(backend, problem, call())
    assert [one.dim for one in cudnn.graphs[0].inputs] == [[2, 6, 8, 16], [2, 2, 8, 16], [2, 2, 8, 16]]
