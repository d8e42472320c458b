"""Recurrent layers through torch: the fused operators, and a Python loop over the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch

from dlbench.backends.backend import implements
from dlbench.backends.torch.autograd import UNCOMPILED, backward_call, leaf
from dlbench.backends.torch.recurrent_cell import DTYPES, STEPS, Step
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent import PARAMETERS, SequenceOp
from dlbench.timing.clock import Call

Tensors = tuple[torch.Tensor, ...]
Forward = Callable[..., Tensors]
BOTH: tuple[Direction, ...] = ("forward", "backward")

FUSED = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu, "lstm": torch.lstm, "gru": torch.gru}
CUDNN_MODES = {"relu": 0, "tanh": 1, "lstm": 2, "gru": 3}
"""cudnnRNNMode_t, as torch.backends.cudnn.rnn.get_cudnn_mode has it."""
NO_ONEDNN = "torch.compile calls oneDNN's LSTM in bfloat16, also on a processor where oneDNN has none"
NO_DROPOUT = 0.0
BATCH_FIRST = False
BIASED = True


def _op(problem: Problem) -> SequenceOp:
    op = problem.op
    if not isinstance(op, SequenceOp):
        raise TypeError(f"not a recurrent layer: {op!r}")
    return op


@implements("rnn", variant="library", dtypes=DTYPES)
@implements("rnn", variant="native", dtypes=DTYPES)
@implements("lstm", variant="library", dtypes=tuple(one for one in DTYPES if one != "bfloat16"))
@implements("lstm", variant="library", dtypes=("bfloat16",), uncompiled=NO_ONEDNN)
@implements("lstm", variant="native", dtypes=DTYPES)
@implements("gru", variant="library", dtypes=DTYPES)
@implements("gru", variant="native", dtypes=DTYPES)
def fused(problem: Problem, *tensors: torch.Tensor) -> Call:
    """torch's operator for all layers and steps, told that nothing is trained: cuDNN's or oneDNN's where there is one."""
    op = _op(problem)
    data, weights = tensors[: 1 + len(op.states)], tensors[1 + len(op.states) :]
    if _is_cudnns(tensors[0]):
        weights = _in_one_buffer(op, [weight.clone() for weight in weights])
    return partial(_fused(op, train=False), *data, *weights)


@implements("rnn", variant="library", directions=("backward",), dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("rnn", variant="native", directions=("backward",), dtypes=DTYPES)
@implements("lstm", variant="library", directions=("backward",), dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("lstm", variant="native", directions=("backward",), dtypes=DTYPES)
@implements("gru", variant="library", directions=("backward",), dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("gru", variant="native", directions=("backward",), dtypes=DTYPES)
def fused_backward(problem: Problem, *tensors: torch.Tensor) -> Call:
    """Back through the fused operator; of cuDNN's, torch copies what the way there left at each call, to keep it."""
    op = _op(problem)
    leaves, gradients = _split(op, tensors)
    if _is_cudnns(tensors[0]):
        _in_one_buffer(op, leaves[1 + len(op.states) :])
    return backward_call(_fused(op, train=True), leaves, gradients)


def _split(
    op: SequenceOp, tensors: Sequence[torch.Tensor]
) -> tuple[list[torch.Tensor], Sequence[torch.Tensor]]:
    """Return the forward inputs as leaves, and the gradients of the outputs."""
    given = len(op.inputs("forward"))
    return [leaf(one) for one in tensors[:given]], tensors[given:]


def _fused(op: SequenceOp, *, train: bool) -> Forward:
    """Return the operator of x, the first states and the weights."""
    operator: Any = FUSED[op.kind]
    states = len(op.states)

    def forward(x: torch.Tensor, *rest: torch.Tensor) -> Tensors:
        first = rest[0] if states == 1 else rest[:states]
        result: Tensors = operator(
            x, first, rest[states:], BIASED, op.layers, NO_DROPOUT, train, op.bidirectional, BATCH_FIRST
        )
        return result

    return forward


def _is_cudnns(x: torch.Tensor) -> bool:
    """Return whether cuDNN computes layers of such inputs, asked as torch.nn.RNNBase asks."""
    acceptable = x.is_cuda and torch.backends.cudnn.is_acceptable(x)  # type: ignore[no-untyped-call]
    return bool(acceptable and torch._use_cudnn_rnn_flatten_weight())  # noqa: SLF001 - it has no public name


def _in_one_buffer(op: SequenceOp, weights: Sequence[torch.Tensor]) -> Tensors:
    """Move the weights' memory into the one piece in which cuDNN takes them, and return them.

    As torch.nn.RNNBase.flatten_parameters does when a module is moved to a GPU: otherwise torch gathers them at each call
    and warns of it. The weights are to be copies, since they get new memory. No test without a GPU comes here.
    """
    with torch.inference_mode(weights[0].is_inference()), torch.no_grad():
        torch._cudnn_rnn_flatten_weight(  # noqa: SLF001 - it has no public name
            list(weights),
            len(PARAMETERS),
            op.input_size,
            CUDNN_MODES[op.kind],
            op.hidden_size,
            0,  # no projection
            op.layers,
            BATCH_FIRST,
            op.bidirectional,
        )
    return tuple(weights)


@implements("rnn", variant="naive", directions=BOTH, dtypes=DTYPES)
@implements("lstm", variant="naive", directions=BOTH, dtypes=DTYPES)
@implements("gru", variant="naive", directions=BOTH, dtypes=DTYPES)
def naive(problem: Problem, *tensors: torch.Tensor) -> Call:
    """A Python loop over layers, directions and steps, and what autograd makes of it."""
    op = _op(problem)
    forward = partial(_layers, op)
    return (
        partial(forward, *tensors)
        if problem.direction == "forward"
        else backward_call(forward, *_split(op, tensors))
    )


def _layers(op: SequenceOp, x: torch.Tensor, *rest: torch.Tensor) -> Tensors:
    """Return y and the final states of all layers, whose first states and weights these are."""
    count, step = len(op.states), STEPS[op.kind]
    first, weights = rest[:count], rest[count:]
    last: list[Tensors] = []
    for layer in range(op.layers):
        outputs = []
        for way in range(op.ways):
            index = layer * op.ways + way
            own = weights[index * len(PARAMETERS) : (index + 1) * len(PARAMETERS)]
            states = tuple(one[index] for one in first)
            steps = range(op.steps) if way == 0 else reversed(range(op.steps))
            y, state = _along(step, x, steps, states, own)
            outputs.append(y if way == 0 else y[::-1])
            last.append(state)
        x = torch.cat([torch.stack(y) for y in outputs], -1)
    return x, *(torch.stack(states) for states in zip(*last, strict=True))


def _along(
    step: Step, x: torch.Tensor, steps: Iterable[int], state: Tensors, weights: Tensors
) -> tuple[list[torch.Tensor], Tensors]:
    """Return h after each step, and the last state."""
    outputs = []
    for t in steps:
        state = step(x[t], state, weights)
        outputs.append(state[0])
    return outputs, state
