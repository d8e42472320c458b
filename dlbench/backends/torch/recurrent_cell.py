"""Recurrent cells through torch: its own operators, and products and element-wise operations one by one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import torch

from dlbench.backends.backend import implements
from dlbench.backends.torch.autograd import UNCOMPILED, backward_call, leaf
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent_cell import CellOp
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16", "tf32")
BOTH: tuple[Direction, ...] = ("forward", "backward")
Tensors = tuple[torch.Tensor, ...]
Step = Callable[[torch.Tensor, Tensors, Tensors], Tensors]
"""The next state, given the inputs, the state and the weights."""


def _sums(x: torch.Tensor, h: torch.Tensor, weights: Tensors) -> Tensors:
    """Return what the inputs and what the state add to each gate."""
    w_ih, w_hh, b_ih, b_hh = weights
    return torch.addmm(b_ih, x, w_ih.t()), torch.addmm(b_hh, h, w_hh.t())


def _tanh(x: torch.Tensor, state: Tensors, weights: Tensors) -> Tensors:
    a, b = _sums(x, state[0], weights)
    return (torch.tanh(a + b),)


def _relu(x: torch.Tensor, state: Tensors, weights: Tensors) -> Tensors:
    a, b = _sums(x, state[0], weights)
    return (torch.relu(a + b),)


def _lstm(x: torch.Tensor, state: Tensors, weights: Tensors) -> Tensors:
    h, c = state
    a, b = _sums(x, h, weights)
    i, f, g, o = (a + b).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def _gru(x: torch.Tensor, state: Tensors, weights: Tensors) -> Tensors:
    (h,) = state
    a, b = _sums(x, h, weights)
    (a_r, a_z, a_n), (b_r, b_z, b_n) = a.chunk(3, 1), b.chunk(3, 1)
    r, z = torch.sigmoid(a_r + b_r), torch.sigmoid(a_z + b_z)
    n = torch.tanh(a_n + r * b_n)
    return (n + z * (h - n),)


STEPS: Mapping[str, Step] = MappingProxyType({"tanh": _tanh, "relu": _relu, "lstm": _lstm, "gru": _gru})
CELLS: Mapping[str, Any] = MappingProxyType(
    {
        "tanh": torch.rnn_tanh_cell,
        "relu": torch.rnn_relu_cell,
        "lstm": torch.lstm_cell,
        "gru": torch.gru_cell,
    }
)


def _op(problem: Problem) -> CellOp:
    op = problem.op
    if not isinstance(op, CellOp):
        raise TypeError(f"not a recurrent cell: {op!r}")
    return op


@implements("rnn_cell", variant="library", dtypes=DTYPES)
@implements("rnn_cell", variant="native", dtypes=DTYPES)
@implements("lstm_cell", variant="library", dtypes=DTYPES)
@implements("lstm_cell", variant="native", dtypes=DTYPES)
@implements("gru_cell", variant="library", dtypes=DTYPES)
@implements("gru_cell", variant="native", dtypes=DTYPES)
def cell(problem: Problem, *tensors: torch.Tensor) -> Call:
    """torch's cell: two products, and on a GPU one kernel for the gates."""
    return partial(_cell(_op(problem)), *tensors)


@implements("rnn_cell", variant="library", directions=("backward",), dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("rnn_cell", variant="native", directions=("backward",), dtypes=DTYPES)
@implements("lstm_cell", variant="library", directions=("backward",), dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("lstm_cell", variant="native", directions=("backward",), dtypes=DTYPES)
@implements("gru_cell", variant="library", directions=("backward",), dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("gru_cell", variant="native", directions=("backward",), dtypes=DTYPES)
def cell_backward(problem: Problem, *tensors: torch.Tensor) -> Call:
    """Back through torch's cell."""
    return _backward(_op(problem), _cell(_op(problem)), *tensors)


@implements("rnn_cell", variant="naive", directions=BOTH, dtypes=DTYPES)
@implements("lstm_cell", variant="naive", directions=BOTH, dtypes=DTYPES)
@implements("gru_cell", variant="naive", directions=BOTH, dtypes=DTYPES)
def naive(problem: Problem, *tensors: torch.Tensor) -> Call:
    """Two products and the element-wise operations one by one, and what autograd makes of them."""
    op = _op(problem)
    forward = partial(_one_step, op)
    return partial(forward, *tensors) if problem.direction == "forward" else _backward(op, forward, *tensors)


def _one_step(op: CellOp, x: torch.Tensor, *rest: torch.Tensor) -> Any:
    count = len(op.states)
    state = STEPS[op.kind](x, rest[:count], rest[count:])
    return state if count > 1 else state[0]


def _cell(op: CellOp) -> Callable[..., Any]:
    """Return torch's cell as a function of x, the state and the weights."""
    operator, count = CELLS[op.kind], len(op.states)
    if count == 1:
        return operator  # type: ignore[no-any-return]  # of torch's own functions

    def forward(x: torch.Tensor, *rest: torch.Tensor) -> Any:
        return operator(x, rest[:count], *rest[count:])

    return forward


def _backward(op: CellOp, forward: Callable[..., Any], *tensors: torch.Tensor) -> Call:
    given = len(op.inputs("forward"))
    return backward_call(forward, [leaf(one) for one in tensors[:given]], tensors[given:])
