"""Recurrent cells by BLAS and array expressions."""

from __future__ import annotations

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numpy.recurrent_gates import GATES, Tensor
from dlbench.backends.numpy.recurrent_layer import Layer
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent_cell import CellOp
from dlbench.timing.clock import Call


@implements("rnn_cell", variant="library")
@implements("lstm_cell", variant="library")
@implements("gru_cell", variant="library")
def library(problem: Problem, *tensors: Tensor) -> Call:
    """A layer of one step."""
    op = _op(problem)
    layer = _layer(op, *tensors)
    last = tuple(layer.last)

    def call() -> Tensor | tuple[Tensor, ...]:
        layer.forward()
        return last if len(last) > 1 else last[0]

    return call


@implements("rnn_cell", variant="library", directions=("backward",))
@implements("lstm_cell", variant="library", directions=("backward",))
@implements("gru_cell", variant="library", directions=("backward",))
def library_backward(problem: Problem, *tensors: Tensor) -> Call:
    """Back over the gates of a step that is taken before."""
    op = _op(problem)
    given = len(op.inputs("forward"))
    layer, upstream = _layer(op, *tensors[:given]), tensors[given:]
    layer.prepare_backward()
    outputs = tuple(np.empty_like(one) for one in tensors[:given])
    dx, flowing, gradients = outputs[0], outputs[1 : 1 + len(upstream)], outputs[1 + len(upstream) :]

    def call() -> tuple[Tensor, ...]:
        for first, state in zip(flowing, upstream, strict=True):
            np.copyto(first, state)
        layer.backward(None, flowing, dx, gradients)
        return outputs

    return call


def _layer(op: CellOp, x: Tensor, *rest: Tensor) -> Layer:
    first, weights = rest[: len(op.states)], rest[len(op.states) :]
    return Layer(GATES[op.kind], weights, x[None], first, np.empty((1, *first[0].shape), x.dtype))


def _op(problem: Problem) -> CellOp:
    op = problem.op
    if not isinstance(op, CellOp):
        raise TypeError(f"not a recurrent cell: {op!r}")
    return op
