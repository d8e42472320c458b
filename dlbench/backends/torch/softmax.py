"""softmax and log_softmax through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
BACKWARD: tuple[Direction, ...] = ("backward",)
aten = torch.ops.aten
"""Where torch keeps the gradients' operators, which have no other name."""


@implements("softmax", variant="library", dtypes=DTYPES)
@implements("softmax", variant="native", dtypes=DTYPES)
def softmax(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.softmax over the last axis."""
    return partial(torch.softmax, x, -1)


@implements("softmax", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("softmax", variant="native", directions=BACKWARD, dtypes=DTYPES)
def softmax_backward(problem: Problem, y: torch.Tensor, dy: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """aten::_softmax_backward_data."""
    return partial(aten._softmax_backward_data.default, dy, y, -1, y.dtype)  # noqa: SLF001 - its name in torch


@implements("log_softmax", variant="library", dtypes=DTYPES)
@implements("log_softmax", variant="native", dtypes=DTYPES)
def log_softmax(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.log_softmax over the last axis."""
    return partial(torch.log_softmax, x, -1)


@implements("log_softmax", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("log_softmax", variant="native", directions=BACKWARD, dtypes=DTYPES)
def log_softmax_backward(problem: Problem, y: torch.Tensor, dy: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """aten::_log_softmax_backward_data."""
    return partial(aten._log_softmax_backward_data.default, dy, y, -1, y.dtype)  # noqa: SLF001 - its name in torch
