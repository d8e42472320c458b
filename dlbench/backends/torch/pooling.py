"""Pooling and its gradients through torch; it calls neither cuDNN nor oneDNN for them, so that `native` is the same."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d, avg_pool2d

from dlbench.backends.backend import implements
from dlbench.backends.torch.conv import is_channels_last
from dlbench.ops.op import Direction, Op, Shape
from dlbench.ops.pooling import AdaptivePool, AvgPool2d, MaxPool2d
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
LAYOUTS = ("NHWC",)
BACKWARD: tuple[Direction, ...] = ("backward",)
NO_DILATION = (1, 1)


def _refuse(op: Op) -> TypeError:
    return TypeError(f"not a pooling: {op!r}")


@implements("max_pool2d", variant="library", dtypes=DTYPES, layouts=LAYOUTS)
@implements("max_pool2d", variant="native", dtypes=DTYPES, layouts=LAYOUTS)
def max_forward(problem: Problem, x: torch.Tensor) -> Call:
    """torch.max_pool2d, which writes the positions of the largest elements too, whether they are wanted or not."""
    op = problem.op
    if not isinstance(op, MaxPool2d):
        raise _refuse(op)
    return partial(torch.max_pool2d, x, (op.r, op.s), op.strides, op.pads, NO_DILATION, op.ceil)


@implements("max_pool2d", variant="library", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
@implements("max_pool2d", variant="native", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
def max_backward(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:
    """The operator that autograd calls, with the positions that the forward one has kept."""
    op = problem.op
    if not isinstance(op, MaxPool2d):
        raise _refuse(op)
    shape = (op.r, op.s), op.strides, op.pads, NO_DILATION, op.ceil
    _, kept = torch.ops.aten.max_pool2d_with_indices(x, *shape)
    return partial(torch.ops.aten.max_pool2d_with_indices_backward, dy, x, *shape, kept)


@implements("avg_pool2d", variant="library", dtypes=DTYPES, layouts=LAYOUTS)
@implements("avg_pool2d", variant="native", dtypes=DTYPES, layouts=LAYOUTS)
def avg_forward(problem: Problem, x: torch.Tensor) -> Call:
    """torch.nn.functional.avg_pool2d."""
    op = problem.op
    if not isinstance(op, AvgPool2d):
        raise _refuse(op)
    return partial(avg_pool2d, x, (op.r, op.s), op.strides, op.pads, op.ceil, op.count_pad)


@implements("avg_pool2d", variant="library", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
@implements("avg_pool2d", variant="native", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
def avg_backward(problem: Problem, dy: torch.Tensor) -> Call:
    """The operator that autograd calls; the input gives its shape and is never read."""
    op = problem.op
    if not isinstance(op, AvgPool2d):
        raise _refuse(op)
    backward = torch.ops.aten.avg_pool2d_backward
    x = _placeholder(op.x_shape, dy)
    return partial(backward, dy, x, (op.r, op.s), op.strides, op.pads, op.ceil, op.count_pad, None)


@implements("adaptive_max_pool2d", variant="library", dtypes=DTYPES, layouts=LAYOUTS)
@implements("adaptive_max_pool2d", variant="native", dtypes=DTYPES, layouts=LAYOUTS)
def adaptive_max_forward(problem: Problem, x: torch.Tensor) -> Call:
    """torch.nn.functional.adaptive_max_pool2d, which writes the positions too, whether they are wanted or not."""
    return partial(adaptive_max_pool2d, x, _size(problem))


@implements("adaptive_max_pool2d", variant="library", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
@implements("adaptive_max_pool2d", variant="native", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
def adaptive_max_backward(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:
    """The operator that autograd calls, with the positions that the forward one has kept."""
    _, kept = torch.ops.aten.adaptive_max_pool2d(x, _size(problem))
    return partial(torch.ops.aten.adaptive_max_pool2d_backward, dy, x, kept)


@implements("adaptive_avg_pool2d", variant="library", dtypes=DTYPES, layouts=LAYOUTS)
@implements("adaptive_avg_pool2d", variant="native", dtypes=DTYPES, layouts=LAYOUTS)
def adaptive_avg_forward(problem: Problem, x: torch.Tensor) -> Call:
    """torch.nn.functional.adaptive_avg_pool2d, which is torch.mean where there is one output."""
    return partial(adaptive_avg_pool2d, x, _size(problem))


@implements("adaptive_avg_pool2d", variant="library", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
@implements("adaptive_avg_pool2d", variant="native", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
def adaptive_avg_backward(problem: Problem, dy: torch.Tensor) -> Call:
    """What autograd calls: its operator, and for one output the gradient of the mean, a division of dy spread over x."""
    p, q = _size(problem)
    x_shape = problem.op.outputs("backward")["dx"]
    if p == q == 1:
        return partial(torch.div, dy.expand(x_shape), x_shape[2] * x_shape[3])
    backward = torch.ops.aten._adaptive_avg_pool2d_backward  # noqa: SLF001 - the only name that it has
    return partial(backward, dy, _placeholder(x_shape, dy))


def _size(problem: Problem) -> tuple[int, int]:
    op = problem.op
    if not isinstance(op, AdaptivePool):
        raise _refuse(op)
    return op.p, op.q


def _placeholder(shape: Shape, dy: torch.Tensor) -> torch.Tensor:
    """Return a tensor in dy's layout, which torch takes for that of the gradient."""
    like = torch.channels_last if is_channels_last(dy) else torch.contiguous_format
    return torch.empty(shape, dtype=dy.dtype, device=dy.device, memory_format=like)
