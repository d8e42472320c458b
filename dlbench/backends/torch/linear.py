"""The fully connected layer through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import linear

from dlbench.backends.backend import implements
from dlbench.backends.torch.matmul import DTYPES
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


@implements("linear", variant="library", dtypes=DTYPES)
@implements("linear", variant="native", dtypes=DTYPES)
def forward(problem: Problem, *tensors: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.nn.functional.linear of x, w and the bias."""
    return partial(linear, *tensors)


@implements("linear", variant="library", directions=("backward_data",), dtypes=DTYPES)
@implements("linear", variant="native", directions=("backward_data",), dtypes=DTYPES)
def data_gradient(problem: Problem, dy: torch.Tensor, w: torch.Tensor) -> Call:  # noqa: ARG001 - likewise
    """A product, as autograd has it."""
    return partial(torch.mm, dy, w)


@implements("linear", variant="library", directions=("backward_weight",), dtypes=DTYPES)
@implements("linear", variant="native", directions=("backward_weight",), dtypes=DTYPES)
def weight_gradient(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:
    """A product, and the sums of the columns of dy where there is a bias, as autograd has it."""
    turned = dy.mT
    if len(problem.op.outputs("backward_weight")) == 1:
        return partial(torch.mm, turned, x)

    def call() -> tuple[torch.Tensor, torch.Tensor]:
        return torch.mm(turned, x), dy.sum(0)

    return call
