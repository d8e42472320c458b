"""Recurrent layers as products of cuBLAS and cupy's operations, step by step."""

from __future__ import annotations

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.matmul import LIBRARY_DTYPES
from dlbench.backends.cupy.programs import Tensor, outputs_of
from dlbench.backends.cupy.recurrent_layer import layer_call
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent import PARAMETERS, SequenceOp
from dlbench.timing.clock import Call


@implements("rnn", variant="library", dtypes=LIBRARY_DTYPES)
@implements("lstm", variant="library", dtypes=LIBRARY_DTYPES)
@implements("gru", variant="library", dtypes=LIBRARY_DTYPES)
def library(problem: Problem, *tensors: Tensor) -> Call:
    """Layer by layer, each over all steps in one direction and then the other."""
    op = problem.op
    if not isinstance(op, SequenceOp):
        raise TypeError(f"not a recurrent layer: {op!r}")
    y, *last = outputs = outputs_of(problem)
    x, *rest = tensors
    first, weights = rest[: len(last)], rest[len(last) :]
    calls: list[Call] = []
    for number in range(op.layers):
        output = y if number == op.layers - 1 else cupy.empty_like(y)
        for way in range(op.ways):
            index = number * op.ways + way
            own = weights[index * len(PARAMETERS) : (index + 1) * len(PARAMETERS)]
            h = output if op.ways == 1 else cupy.empty((*y.shape[:-1], op.hidden_size), y.dtype)
            given = own, x, [one[index] for one in first], h, [one[index] for one in last]
            calls.append(layer_call(op.kind, problem.dtype, *given, reverse=way == 1))
            if h is not output:
                calls.append(_copying(output[..., way * op.hidden_size : (way + 1) * op.hidden_size], h))
        x = output

    def call() -> tuple[Tensor, ...]:
        for one in calls:
            one()
        return outputs

    return call


def _copying(target: Tensor, source: Tensor) -> Call:
    """Return a call that puts one direction's states beside the other's: cuBLAS has read and written them on their own."""
    return lambda: cupy.copyto(target, source)
