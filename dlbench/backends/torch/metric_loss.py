"""Losses of distances through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional

from dlbench.backends.backend import implements
from dlbench.backends.torch.autograd import UNCOMPILED, backward_call, leaf
from dlbench.ops.metric_loss import ContrastiveLoss, TripletLoss
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
BACKWARD: tuple[Direction, ...] = ("backward",)


def _margin(problem: Problem) -> float:
    op = problem.op
    if not isinstance(op, ContrastiveLoss | TripletLoss):
        raise TypeError(f"not a loss with a margin: {op!r}")
    return op.margin


def _contrastive(a: torch.Tensor, b: torch.Tensor, similar: torch.Tensor, margin: float) -> torch.Tensor:
    distance = functional.pairwise_distance(a, b)
    apart = torch.clamp_min(margin - distance, 0)
    return torch.where(similar, distance, apart).square().mean()


@implements("contrastive_loss", variant="library", dtypes=DTYPES)
@implements("contrastive_loss", variant="native", dtypes=DTYPES)
def contrastive_loss(problem: Problem, a: torch.Tensor, b: torch.Tensor, similar: torch.Tensor) -> Call:
    """torch.nn.functional.pairwise_distance and the mean of the squares."""
    return partial(_contrastive, a, b, similar, _margin(problem))


@implements("contrastive_loss", variant="library", directions=BACKWARD, dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("contrastive_loss", variant="native", directions=BACKWARD, dtypes=DTYPES)
def contrastive_loss_backward(
    problem: Problem, a: torch.Tensor, b: torch.Tensor, similar: torch.Tensor, dloss: torch.Tensor
) -> Call:
    """The way back through the same."""
    forward = partial(_contrastive, similar=leaf(similar, wanted=False), margin=_margin(problem))
    return backward_call(forward, [leaf(a), leaf(b)], [dloss])


@implements("triplet_loss", variant="library", dtypes=DTYPES)
@implements("triplet_loss", variant="native", dtypes=DTYPES)
def triplet_loss(
    problem: Problem, anchor: torch.Tensor, positive: torch.Tensor, negative: torch.Tensor
) -> Call:
    """torch.nn.functional.triplet_margin_loss."""
    return partial(functional.triplet_margin_loss, anchor, positive, negative, margin=_margin(problem))


@implements("triplet_loss", variant="library", directions=BACKWARD, dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("triplet_loss", variant="native", directions=BACKWARD, dtypes=DTYPES)
def triplet_loss_backward(
    problem: Problem,
    anchor: torch.Tensor,
    positive: torch.Tensor,
    negative: torch.Tensor,
    dloss: torch.Tensor,
) -> Call:
    """The way back through triplet_margin_loss."""
    forward = partial(functional.triplet_margin_loss, margin=_margin(problem))
    return backward_call(forward, [leaf(anchor), leaf(positive), leaf(negative)], [dloss])


@implements("center_loss", variant="library", dtypes=DTYPES)
@implements("center_loss", variant="native", dtypes=DTYPES)
def center_loss(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    labels: torch.Tensor,
    centers: torch.Tensor,
) -> Call:
    """The labels' centers gathered, and their mse_loss, which is a mean over all elements."""
    half = x.shape[1] / 2

    def call() -> torch.Tensor:
        return functional.mse_loss(x, torch.index_select(centers, 0, labels)).mul(half)

    return call


@implements("center_loss", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("center_loss", variant="native", directions=BACKWARD, dtypes=DTYPES)
def center_loss_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    labels: torch.Tensor,
    centers: torch.Tensor,
    dloss: torch.Tensor,
) -> Call:
    """The differences, and their sums by index_add_; 16 bits are added up in float32."""
    n, wide = x.shape[0], torch.promote_types(x.dtype, torch.float32)

    def call() -> tuple[torch.Tensor, torch.Tensor]:
        dx = (x - torch.index_select(centers, 0, labels)).mul_(dloss / n)
        dcenters = torch.zeros_like(centers, dtype=wide).index_add_(0, labels, dx.to(wide), alpha=-1)
        return dx, dcenters.to(x.dtype)

    return call
