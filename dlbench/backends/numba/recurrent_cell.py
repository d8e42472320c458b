"""Recurrent cells as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numba.recurrent_layer import LAYERS
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent_cell import CellOp
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("rnn_cell", variant="naive")
@implements("lstm_cell", variant="naive")
@implements("gru_cell", variant="naive")
def naive(problem: Problem, x: Tensor, *rest: Tensor) -> Call:
    """A layer of one step."""
    op = problem.op
    if not isinstance(op, CellOp):
        raise TypeError(f"not a recurrent cell: {op!r}")
    last = tuple(np.empty(shape, x.dtype) for shape in op.outputs("forward").values())
    y = np.empty((1, *last[0].shape), x.dtype)
    loop = partial(LAYERS[op.kind], x[None], *rest, y, *last, False)

    def call() -> Tensor | tuple[Tensor, ...]:
        loop()
        return last if len(last) > 1 else last[0]

    return call
