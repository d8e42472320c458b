"""Losses of scores and labels through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional

from dlbench.backends.backend import implements
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
HINGE_DTYPES = ("float32", "float64")
"""Those of torch's multi_margin_loss on a CPU."""
BACKWARD: tuple[Direction, ...] = ("backward",)
MEAN, SUM = 1, 2
"""How aten's losses are told to put their terms together (torch.nn._reduction)."""
IGNORED = -100
"""The label that aten's nll_loss leaves out; there is none."""
aten = torch.ops.aten


@implements("zero_one_loss", variant="library", dtypes=DTYPES)
@implements("zero_one_loss", variant="native", dtypes=DTYPES)
def zero_one_loss(problem: Problem, x: torch.Tensor, labels: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The mean of where torch.argmax, the first of equal ones, is not the label."""

    def call() -> torch.Tensor:
        return torch.ne(torch.argmax(x, 1), labels).to(x.dtype).mean()

    return call


@implements("hinge_loss", variant="library", dtypes=HINGE_DTYPES)
@implements("hinge_loss", variant="native", dtypes=HINGE_DTYPES)
def hinge_loss(problem: Problem, x: torch.Tensor, labels: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.nn.functional.multi_margin_loss."""
    return partial(functional.multi_margin_loss, x, labels)


@implements("hinge_loss", variant="library", directions=BACKWARD, dtypes=HINGE_DTYPES)
@implements("hinge_loss", variant="native", directions=BACKWARD, dtypes=HINGE_DTYPES)
def hinge_loss_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    labels: torch.Tensor,
    dloss: torch.Tensor,
) -> Call:
    """aten::multi_margin_loss_backward with p = 1 and margin 1."""
    return partial(aten.multi_margin_loss_backward.default, dloss, x, labels, 1, 1, None, MEAN)


@implements("cross_entropy", variant="library", dtypes=DTYPES)
@implements("cross_entropy", variant="native", dtypes=DTYPES)
def cross_entropy(problem: Problem, x: torch.Tensor, labels: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.nn.functional.cross_entropy: log_softmax and nll_loss."""
    return partial(functional.cross_entropy, x, labels)


@implements("cross_entropy", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("cross_entropy", variant="native", directions=BACKWARD, dtypes=DTYPES)
def cross_entropy_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    labels: torch.Tensor,
    dloss: torch.Tensor,
) -> Call:
    """The operators of the way back through nll_loss and log_softmax, from the logarithms that forward would have kept."""
    logarithms = torch.log_softmax(x, 1)
    differentiate = _nll_gradient(logarithms, labels, dloss)

    def call() -> torch.Tensor:
        found: torch.Tensor = aten._log_softmax_backward_data.default(  # noqa: SLF001 - its name in torch
            differentiate(), logarithms, 1, x.dtype
        )
        return found

    return call


@implements("nll_loss", variant="library", dtypes=DTYPES)
@implements("nll_loss", variant="native", dtypes=DTYPES)
def nll_loss(problem: Problem, x: torch.Tensor, labels: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.nn.functional.nll_loss."""
    return partial(functional.nll_loss, x, labels)


@implements("nll_loss", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("nll_loss", variant="native", directions=BACKWARD, dtypes=DTYPES)
def nll_loss_backward(problem: Problem, labels: torch.Tensor, dloss: torch.Tensor) -> Call:
    """aten::nll_loss_backward, which reads of x no more than its shape."""
    like = torch.empty(problem.op.outputs("backward")["dx"], dtype=dloss.dtype, device=dloss.device)
    return _nll_gradient(like, labels, dloss)


def _nll_gradient(x: torch.Tensor, labels: torch.Tensor, dloss: torch.Tensor) -> Call:
    """Return a call of aten::nll_loss_backward.

    For the mean it takes the number of rows in the dtype, and 65520 of them are infinity in float16: there it is asked for
    the sum's gradient, of dloss / rows.
    """
    rows = x.shape[0]
    total = torch.full((), float(rows), dtype=x.dtype, device=x.device)
    backward = aten.nll_loss_backward.default
    if x.dtype == torch.float16:
        return lambda: backward(dloss / rows, x, labels, None, SUM, IGNORED, total)
    return partial(backward, dloss, x, labels, None, MEAN, IGNORED, total)
