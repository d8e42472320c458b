"""Convolution and its gradients through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import conv2d

from dlbench.backends.backend import implements
from dlbench.ops.conv import Conv2d
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


def _op(problem: Problem) -> Conv2d:
    op = problem.op
    if not isinstance(op, Conv2d):
        raise TypeError(f"not a convolution: {op!r}")
    return op


@implements("conv2d", variant="library", dtypes=DTYPES)
@implements("conv2d", variant="native", dtypes=DTYPES)
def forward(problem: Problem, x: torch.Tensor, w: torch.Tensor) -> Call:
    """torch.nn.functional.conv2d."""
    op = _op(problem)
    return partial(conv2d, x, w, None, op.strides, op.pads, op.dilation, op.groups)


@implements("conv2d", variant="library", directions=("backward_data",), dtypes=DTYPES)
@implements("conv2d", variant="native", directions=("backward_data",), dtypes=DTYPES)
def backward_data(problem: Problem, dy: torch.Tensor, w: torch.Tensor) -> Call:
    """The input's gradient alone; the input gives its shape and is never read."""
    x = torch.empty(_op(problem).x_shape, dtype=dy.dtype, device=dy.device)
    return _gradient(problem, dy, x, w, 0)


@implements("conv2d", variant="library", directions=("backward_weight",), dtypes=DTYPES)
@implements("conv2d", variant="native", directions=("backward_weight",), dtypes=DTYPES)
def backward_weight(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:
    """The filter's gradient alone; the filter gives its shape and is never read."""
    w = torch.empty(_op(problem).w_shape, dtype=dy.dtype, device=dy.device)
    return _gradient(problem, dy, x, w, 1)


def _gradient(problem: Problem, dy: torch.Tensor, x: torch.Tensor, w: torch.Tensor, wanted: int) -> Call:
    op = _op(problem)
    step = [op.dilation, op.dilation]
    mask = [wanted == 0, wanted == 1, False]
    backward = torch.ops.aten.convolution_backward

    def call() -> torch.Tensor:
        gradients = backward(dy, x, w, None, op.strides, op.pads, step, False, [0, 0], op.groups, mask)
        gradient: torch.Tensor = gradients[wanted]
        return gradient

    return call
