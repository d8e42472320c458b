"""Recurrent layers as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numba.recurrent_layer import LAYERS
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent import PARAMETERS, SequenceOp
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("rnn", variant="naive")
@implements("lstm", variant="naive")
@implements("gru", variant="naive")
def naive(problem: Problem, *tensors: Tensor) -> Call:
    """Layer by layer, each over all steps in one direction and then the other; both products of a gate are summed anew for
    each unit.
    """
    op = _op(problem)
    y, *last = outputs = tuple(np.empty(shape, tensors[0].dtype) for shape in op.outputs("forward").values())
    x, *rest = tensors
    first, weights = rest[: len(last)], rest[len(last) :]
    loops = []
    for number in range(op.layers):
        output = y if number == op.layers - 1 else np.empty_like(y)
        for way in range(op.ways):
            index = number * op.ways + way
            own = weights[index * len(PARAMETERS) : (index + 1) * len(PARAMETERS)]
            part = output[..., way * op.hidden_size : (way + 1) * op.hidden_size]
            given = (x, *(one[index] for one in first), *own, part, *(one[index] for one in last), way == 1)
            loops.append(partial(LAYERS[op.kind], *given))
        x = output

    def call() -> tuple[Tensor, ...]:
        for loop in loops:
            loop()
        return outputs

    return call


def _op(problem: Problem) -> SequenceOp:
    op = problem.op
    if not isinstance(op, SequenceOp):
        raise TypeError(f"not a recurrent layer: {op!r}")
    return op
