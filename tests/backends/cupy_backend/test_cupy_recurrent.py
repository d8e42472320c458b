"""Recurrent layers through cuBLAS over the stand-in: the products that they are made of."""

from __future__ import annotations

from typing import Any

import pytest
from standin_cupy import Card
from test_cupy_implementations import prepared

from dlbench.ops.problem import Problem
from dlbench.ops.recurrent import Gru, Lstm


@pytest.mark.parametrize(
    ("dtype", "compute"), [("float32", 68), ("tf32", 77), ("float16", 68), ("float64", 70)]
)
def test_the_inputs_of_all_steps_are_one_product_and_each_state_is_one(
    backend: Any, card: Card, dtype: str, compute: int
) -> None:
    problem = Problem(Lstm(steps=5, batch=3, input_size=4, hidden_size=6), dtype)
    prepared(backend, backend.find(problem, "library"), problem)[0]()
    inputs, state = (24, 15, 4, compute), (24, 3, 6, compute)
    assert card.products == [inputs, *[state] * 5]


def test_the_products_are_all_that_is_counted(backend: Any, card: Card) -> None:
    op = Gru(steps=5, batch=3, input_size=4, hidden_size=6, layers=2, bidirectional=True)
    problem = Problem(op)
    prepared(backend, backend.find(problem, "library"), problem)[0]()
    assert sum(2 * m * n * k for m, n, k, _ in card.products) == op.flops("forward")
