"""Dropout as array operations."""

from __future__ import annotations

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.expression import one_pass
from dlbench.backends.cupy.programs import Tensor, outputs_of
from dlbench.backends.cupy.softmax import LIBRARY_DTYPES, wide
from dlbench.ops.dropout import Dropout
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


def _op(problem: Problem) -> Dropout:
    op = problem.op
    if not isinstance(op, Dropout):
        raise TypeError(f"not dropout: {op!r}")
    return op


@implements("dropout", variant="library", dtypes=LIBRARY_DTYPES)
def dropout(problem: Problem, x: Tensor) -> Call:
    """Numbers of cupy's default generator, cuRAND's XORWOW seeded by the system's entropy, compared with p, and the product.

    They are in a new array each time: given one to write to, this generator makes another first, and copies.
    """
    op, rng = _op(problem), cupy.random.default_rng()
    number, shape = wide(problem.dtype), x.shape
    y, mask = outputs_of(problem)

    def call() -> tuple[Tensor, Tensor]:
        drawn = rng.random(shape, dtype=number)
        cupy.greater_equal(drawn, op.p, out=mask)
        cupy.multiply(mask, op.factor, out=drawn, dtype=number)
        cupy.multiply(drawn, x, out=y)
        return y, mask

    return call


@implements("dropout", variant="library", directions=("backward",), dtypes=LIBRARY_DTYPES)
def dropout_backward(problem: Problem, dy: Tensor, mask: Tensor) -> Call:
    """dy times the mask and the factor, in one pass."""
    return one_pass(problem, "dy * mask * factor", dy, mask, factor=_op(problem).factor)
