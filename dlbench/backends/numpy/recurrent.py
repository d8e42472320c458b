"""Recurrent layers by BLAS and array expressions, with backpropagation through time."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numpy.recurrent_gates import GATES, Tensor
from dlbench.backends.numpy.recurrent_layer import Layer
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent import PARAMETERS, SequenceOp
from dlbench.timing.clock import Call


@implements("rnn", variant="library")
@implements("lstm", variant="library")
@implements("gru", variant="library")
def library(problem: Problem, *tensors: Tensor) -> Call:
    """Layer by layer, each over all steps in one direction and then the other."""
    op = _op(problem)
    y, *last = (np.empty(shape, tensors[0].dtype) for shape in op.outputs("forward").values())
    layers = _layers(op, tensors, y)

    def call() -> tuple[Tensor, ...]:
        for index, layer in enumerate(layers):
            layer.forward()
            for states, state in zip(last, layer.last, strict=True):
                states[index] = state
        return y, *last

    return call


@implements("rnn", variant="library", directions=("backward",))
@implements("lstm", variant="library", directions=("backward",))
@implements("gru", variant="library", directions=("backward",))
def library_backward(problem: Problem, *tensors: Tensor) -> Call:
    """Backpropagation through time, over the gates and states of a way there that is gone before."""
    op = _op(problem)
    y = np.empty(op.outputs("forward")["y"], tensors[0].dtype)
    given = len(op.inputs("forward"))
    layers, (dy, *last) = _layers(op, tensors[:given], y), tensors[given:]
    for layer in layers:
        layer.prepare_backward()
    outputs = tuple(np.empty_like(one) for one in tensors[:given])
    dx, firsts, gradients = outputs[0], outputs[1 : 1 + len(last)], outputs[1 + len(last) :]
    of_inputs = [dx, *(np.empty_like(y) for _ in range(op.layers - 1))]
    second = [np.empty_like(one) for one in of_inputs]
    of_outputs = [*of_inputs[1:], dy]

    def call() -> tuple[Tensor, ...]:
        for first, states in zip(firsts, last, strict=True):
            np.copyto(first, states)
        for index in reversed(range(len(layers))):
            number, way = divmod(index, op.ways)
            upstream = of_outputs[number][..., way * op.hidden_size : (way + 1) * op.hidden_size]
            flowing = [first[index] for first in firsts]
            target = second[number] if way else of_inputs[number]
            layers[index].backward(upstream, flowing, target, _own(gradients, index))
            if way == 0 and op.ways > 1:
                np.add(target, second[number], out=target)
        return outputs

    return call


def _layers(op: SequenceOp, tensors: Sequence[Tensor], y: Tensor) -> list[Layer]:
    """Return the passes over the steps, layer by layer and direction by direction; the last layer writes y."""
    x, *rest = tensors
    first, weights = rest[: len(op.states)], rest[len(op.states) :]
    layers: list[Layer] = []
    for number in range(op.layers):
        output = y if number == op.layers - 1 else np.empty_like(y)
        for way in range(op.ways):
            index = number * op.ways + way
            states = [one[index] for one in first]
            part = output[..., way * op.hidden_size : (way + 1) * op.hidden_size]
            layers.append(Layer(GATES[op.kind], _own(weights, index), x, states, part, reverse=way == 1))
        x = output
    return layers


def _own(weights: Sequence[Tensor], index: int) -> Sequence[Tensor]:
    """Return those of one layer and direction."""
    return weights[index * len(PARAMETERS) : (index + 1) * len(PARAMETERS)]


def _op(problem: Problem) -> SequenceOp:
    op = problem.op
    if not isinstance(op, SequenceOp):
        raise TypeError(f"not a recurrent layer: {op!r}")
    return op
