"""Activation functions through torch, and its operators of their gradients."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional

from dlbench.backends.backend import implements
from dlbench.ops.activation import Gelu, LeakyRelu
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
BACKWARD: tuple[Direction, ...] = ("backward",)
aten = torch.ops.aten
"""Where torch keeps the gradients' operators, which have no other name."""


def _slope(problem: Problem) -> float:
    op = problem.op
    if not isinstance(op, LeakyRelu):
        raise TypeError(f"not a leaky ReLU: {op!r}")
    return op.slope


def _form(problem: Problem) -> str:
    op = problem.op
    if not isinstance(op, Gelu):
        raise TypeError(f"not a GELU: {op!r}")
    return "tanh" if op.approximate else "none"


@implements("step", variant="library", dtypes=DTYPES)
@implements("step", variant="native", dtypes=DTYPES)
def step(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.heaviside with 0 at 0."""
    zero = torch.zeros((), dtype=x.dtype, device=x.device)
    return partial(torch.heaviside, x, zero)


@implements("relu", variant="library", dtypes=DTYPES)
@implements("relu", variant="native", dtypes=DTYPES)
def relu(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.relu."""
    return partial(torch.relu, x)


@implements("relu", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("relu", variant="native", directions=BACKWARD, dtypes=DTYPES)
def relu_backward(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """aten::threshold_backward, which is relu's gradient too."""
    return partial(aten.threshold_backward.default, dy, x, 0)


@implements("leaky_relu", variant="library", dtypes=DTYPES)
@implements("leaky_relu", variant="native", dtypes=DTYPES)
def leaky_relu(problem: Problem, x: torch.Tensor) -> Call:
    """torch.nn.functional.leaky_relu."""
    return partial(functional.leaky_relu, x, _slope(problem))


@implements("leaky_relu", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("leaky_relu", variant="native", directions=BACKWARD, dtypes=DTYPES)
def leaky_relu_backward(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:
    """aten::leaky_relu_backward, told that it is given x and not y."""
    return partial(aten.leaky_relu_backward.default, dy, x, _slope(problem), False)


@implements("sigmoid", variant="library", dtypes=DTYPES)
@implements("sigmoid", variant="native", dtypes=DTYPES)
def sigmoid(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.sigmoid."""
    return partial(torch.sigmoid, x)


@implements("sigmoid", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("sigmoid", variant="native", directions=BACKWARD, dtypes=DTYPES)
def sigmoid_backward(problem: Problem, y: torch.Tensor, dy: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """aten::sigmoid_backward."""
    return partial(aten.sigmoid_backward.default, dy, y)


@implements("tanh", variant="library", dtypes=DTYPES)
@implements("tanh", variant="native", dtypes=DTYPES)
def tanh(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.tanh."""
    return partial(torch.tanh, x)


@implements("tanh", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("tanh", variant="native", directions=BACKWARD, dtypes=DTYPES)
def tanh_backward(problem: Problem, y: torch.Tensor, dy: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """aten::tanh_backward."""
    return partial(aten.tanh_backward.default, dy, y)


@implements("silu", variant="library", dtypes=DTYPES)
@implements("silu", variant="native", dtypes=DTYPES)
def silu(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.nn.functional.silu."""
    return partial(functional.silu, x)


@implements("silu", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("silu", variant="native", directions=BACKWARD, dtypes=DTYPES)
def silu_backward(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """aten::silu_backward."""
    return partial(aten.silu_backward.default, dy, x)


@implements("gelu", variant="library", dtypes=DTYPES)
@implements("gelu", variant="native", dtypes=DTYPES)
def gelu(problem: Problem, x: torch.Tensor) -> Call:
    """torch.nn.functional.gelu in the problem's form."""
    return partial(functional.gelu, x, approximate=_form(problem))


@implements("gelu", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("gelu", variant="native", directions=BACKWARD, dtypes=DTYPES)
def gelu_backward(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:
    """aten::gelu_backward in the problem's form."""
    return partial(aten.gelu_backward.default, dy, x, approximate=_form(problem))
