"""Dropout through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.dropout import Dropout
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


def _op(problem: Problem) -> Dropout:
    op = problem.op
    if not isinstance(op, Dropout):
        raise TypeError(f"not dropout: {op!r}")
    return op


@implements("dropout", variant="library", dtypes=DTYPES)
@implements("dropout", variant="native", dtypes=DTYPES)
def dropout(problem: Problem, x: torch.Tensor) -> Call:
    """torch.native_dropout, by torch's generator of the device, seeded as it is."""
    return partial(torch.native_dropout, x, _op(problem).p, True)


@implements("dropout", variant="library", directions=("backward",), dtypes=DTYPES)
@implements("dropout", variant="native", directions=("backward",), dtypes=DTYPES)
def dropout_backward(problem: Problem, dy: torch.Tensor, mask: torch.Tensor) -> Call:
    """aten::native_dropout_backward."""
    return partial(torch.ops.aten.native_dropout_backward.default, dy, mask, _op(problem).factor)
