"""Dropout as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numpy.activation import wide
from dlbench.ops.dropout import Dropout
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
DTYPES = ("float32", "float64", "float16")


def _op(problem: Problem) -> Dropout:
    op = problem.op
    if not isinstance(op, Dropout):
        raise TypeError(f"not dropout: {op!r}")
    return op


@implements("dropout", variant="native", dtypes=DTYPES)
def dropout(problem: Problem, x: Tensor) -> Call:
    """Numbers of numpy's default generator, a PCG64 seeded by the system's entropy, compared with p, and the product."""
    op, rng = _op(problem), np.random.default_rng()
    drawn, y, mask = np.empty(x.shape, wide(x)), np.empty_like(x), np.empty(x.shape, bool)

    def call() -> tuple[Tensor, Tensor]:
        rng.random(dtype=drawn.dtype, out=drawn)
        np.greater_equal(drawn, op.p, out=mask)
        np.multiply(mask, op.factor, out=drawn)
        return np.multiply(drawn, x, out=y), mask

    return call


@implements("dropout", variant="native", directions=("backward",), dtypes=DTYPES)
def dropout_backward(problem: Problem, dy: Tensor, mask: Tensor) -> Call:
    """The product with the mask, and that with the factor."""
    held, dx, factor = np.empty(dy.shape, wide(dy)), np.empty_like(dy), _op(problem).factor

    def call() -> Tensor:
        np.multiply(mask, factor, out=held, dtype=held.dtype)
        return np.multiply(held, dy, out=dx)

    return call
