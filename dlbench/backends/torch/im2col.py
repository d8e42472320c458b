"""The columns of a convolution through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import fold, unfold

from dlbench.backends.backend import implements
from dlbench.ops.im2col import Im2col
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


def _op(problem: Problem) -> Im2col:
    op = problem.op
    if not isinstance(op, Im2col):
        raise TypeError(f"not columns: {op!r}")
    return op


@implements("im2col", variant="library", dtypes=DTYPES)
@implements("im2col", variant="native", dtypes=DTYPES)
def forward(problem: Problem, x: torch.Tensor) -> Call:
    """torch.nn.functional.unfold."""
    conv = _op(problem).geometry
    return partial(unfold, x, conv.window, conv.dilation, conv.pads, conv.strides)


@implements("im2col", variant="library", directions=("backward",), dtypes=DTYPES)
@implements("im2col", variant="native", directions=("backward",), dtypes=DTYPES)
def backward(problem: Problem, dcolumns: torch.Tensor) -> Call:
    """torch.nn.functional.fold."""
    conv = _op(problem).geometry
    return partial(fold, dcolumns, conv.extents, conv.window, conv.dilation, conv.pads, conv.strides)
