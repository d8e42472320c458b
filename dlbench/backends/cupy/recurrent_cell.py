"""Recurrent cells as products of cuBLAS and cupy's operations."""

from __future__ import annotations

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.matmul import LIBRARY_DTYPES
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.backends.cupy.recurrent_layer import layer_call
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent_cell import CellOp
from dlbench.timing.clock import Call


@implements("rnn_cell", variant="library", dtypes=LIBRARY_DTYPES)
@implements("lstm_cell", variant="library", dtypes=LIBRARY_DTYPES)
@implements("gru_cell", variant="library", dtypes=LIBRARY_DTYPES)
def library(problem: Problem, x: Tensor, *rest: Tensor) -> Call:
    """A layer of one step."""
    op = problem.op
    if not isinstance(op, CellOp):
        raise TypeError(f"not a recurrent cell: {op!r}")
    last = outputs_of(problem)
    first, weights = rest[: len(last)], rest[len(last) :]
    h = cupy.empty((1, op.batch, op.hidden_size), x.dtype)
    step = layer_call(op.kind, problem.dtype, weights, x[None], first, h, last)

    def call() -> Tensor:
        step()
        return only(last)

    return call
