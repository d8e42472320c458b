"""Losses of real numbers through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional

from dlbench.backends.backend import implements
from dlbench.backends.torch.autograd import UNCOMPILED, backward_call, leaf
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
BACKWARD: tuple[Direction, ...] = ("backward",)
MEAN, SUM = 1, 2
"""How aten's losses are told to put their terms together (torch.nn._reduction)."""
aten = torch.ops.aten


@implements("mse_loss", variant="library", dtypes=DTYPES)
@implements("mse_loss", variant="native", dtypes=DTYPES)
def mse_loss(problem: Problem, x: torch.Tensor, target: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.nn.functional.mse_loss."""
    return partial(functional.mse_loss, x, target)


@implements("mse_loss", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("mse_loss", variant="native", directions=BACKWARD, dtypes=DTYPES)
def mse_loss_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    target: torch.Tensor,
    dloss: torch.Tensor,
) -> Call:
    """aten::mse_loss_backward.

    For the mean it rounds 2 / n to the dtype, of which float16 keeps few bits from n = 32768 and none from 33 million:
    there it is asked for the sum's gradient, of dloss / n.
    """
    if x.dtype == torch.float16:
        n = x.numel()
        return lambda: aten.mse_loss_backward.default(dloss / n, x, target, SUM)
    return partial(aten.mse_loss_backward.default, dloss, x, target, MEAN)


@implements("l1_loss", variant="library", dtypes=DTYPES)
@implements("l1_loss", variant="native", dtypes=DTYPES)
def l1_loss(problem: Problem, x: torch.Tensor, target: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.nn.functional.l1_loss."""
    return partial(functional.l1_loss, x, target)


@implements("l1_loss", variant="library", directions=BACKWARD, dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("l1_loss", variant="native", directions=BACKWARD, dtypes=DTYPES)
def l1_loss_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    target: torch.Tensor,
    dloss: torch.Tensor,
) -> Call:
    """The way back through l1_loss, whose gradient has no operator of its own."""
    target = leaf(target, wanted=False)
    return backward_call(partial(functional.l1_loss, target=target), [leaf(x)], [dloss])
