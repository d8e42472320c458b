"""Convolution and its gradients by cuDNN."""

from __future__ import annotations

from typing import Any

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.cudnn_graph import ALL_PLANS, DTYPES, Graph, best, fastest
from dlbench.backends.cupy.programs import Tensor
from dlbench.ops.conv import Conv2d
from dlbench.ops.op import Direction, Shape
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward_data", "backward_weight")
LAYOUTS = ("NHWC",)
NODES = {
    "forward": ("conv_fprop", ("image", "weight")),
    "backward_data": ("conv_dgrad", ("loss", "filter")),
    "backward_weight": ("conv_wgrad", ("image", "loss")),
}
"""cuDNN's node for each direction, and what it calls its inputs, in the order of the op's."""


def channels_last(shape: Shape, dtype: Any) -> Tensor:
    """Return a new array of n × c × h × w whose channels lie side by side in memory."""
    n, c, h, w = shape
    return cupy.empty((n, h, w, c), dtype).transpose(0, 3, 1, 2)


def is_channels_last(tensor: Tensor) -> bool:
    """Return whether a row's neighbours stand apart by more than an element; with one channel there is no difference."""
    return bool(tensor.strides[-1] != tensor.itemsize)


@implements("conv2d", variant="cudnn", directions=DIRECTIONS, dtypes=DTYPES, layouts=LAYOUTS)
def heuristic(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """The plan that cuDNN's heuristics put first."""
    return best(_graph(problem, one, other))


@implements("conv2d", variant="cudnn", directions=DIRECTIONS, dtypes=DTYPES, layouts=LAYOUTS, mode=ALL_PLANS)
def all_plans(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """Every plan timed, and the fastest called."""
    return fastest(_graph(problem, one, other))


def _graph(problem: Problem, one: Tensor, other: Tensor) -> Graph:
    op = problem.op
    if not isinstance(op, Conv2d):
        raise TypeError(f"not a convolution: {op!r}")
    node, names = NODES[problem.direction]

    def operation(graph: Any, *tensors: Any) -> Any:
        return getattr(graph, node)(
            **dict(zip(names, tensors, strict=True)),
            pre_padding=list(op.pads),
            post_padding=list(op.pads),
            stride=list(op.strides),
            dilation=[op.dilation, op.dilation],
        )

    (shape,) = op.outputs(problem.direction).values()
    last = is_channels_last(one) or is_channels_last(other)
    output = channels_last(shape, one.dtype) if last else cupy.empty(shape, one.dtype)
    return Graph(problem.dtype, operation, dict(zip(names, (one, other), strict=True)), output)
