"""Losses of distances as loops over each pair or feature."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.metric_loss import EPSILON, ContrastiveLoss, TripletLoss
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
BACKWARD: tuple[Direction, ...] = ("backward",)


def _margin(problem: Problem, x: Tensor) -> Any:
    op = problem.op
    if not isinstance(op, ContrastiveLoss | TripletLoss):
        raise TypeError(f"not a loss with a margin: {op!r}")
    return x.dtype.type(op.margin)


@njit(cache=True)
def _distance(a, b):  # type: ignore[no-untyped-def]  # numba infers the types
    total, epsilon = a.dtype.type(0), a.dtype.type(EPSILON)
    for d in range(a.size):
        difference = a[d] - b[d] + epsilon
        total += difference * difference
    return np.sqrt(total)


@njit(cache=True)
def _contrastive_loss(a, b, similar, margin, loss):  # type: ignore[no-untyped-def]  # numba infers the types
    zero = a.dtype.type(0)
    total = zero
    for i in range(a.shape[0]):
        distance = _distance(a[i], b[i])
        counted = distance if similar[i] else max(margin - distance, zero)
        total += counted * counted
    loss[()] = total / a.shape[0]
    return loss


@njit(cache=True)
def _contrastive_loss_backward(a, b, similar, dloss, margin, da, db):  # type: ignore[no-untyped-def]  # numba infers the types
    number = a.dtype.type
    zero, epsilon, share = number(0), number(EPSILON), number(2) * dloss[()] / number(a.shape[0])
    for i in range(a.shape[0]):
        distance = _distance(a[i], b[i])
        factor = share if similar[i] else -share * max(margin - distance, zero) / distance
        for d in range(a.shape[1]):
            da[i, d] = factor * (a[i, d] - b[i, d] + epsilon)
            db[i, d] = -da[i, d]
    return da, db


@njit(cache=True)
def _triplet_loss(anchor, positive, negative, margin, loss):  # type: ignore[no-untyped-def]  # numba infers the types
    zero = anchor.dtype.type(0)
    total = zero
    for i in range(anchor.shape[0]):
        near, far = _distance(anchor[i], positive[i]), _distance(anchor[i], negative[i])
        total += max(near - far + margin, zero)
    loss[()] = total / anchor.shape[0]
    return loss


@njit(cache=True)
def _triplet_loss_backward(  # type: ignore[no-untyped-def]  # numba infers the types
    anchor, positive, negative, dloss, margin, danchor, dpositive, dnegative
):
    number = anchor.dtype.type
    zero, epsilon, share = number(0), number(EPSILON), dloss[()] / number(anchor.shape[0])
    for i in range(anchor.shape[0]):
        near, far = _distance(anchor[i], positive[i]), _distance(anchor[i], negative[i])
        counted = share if near - far + margin > 0 else zero
        for d in range(anchor.shape[1]):
            dpositive[i, d] = -counted / near * (anchor[i, d] - positive[i, d] + epsilon)
            dnegative[i, d] = counted / far * (anchor[i, d] - negative[i, d] + epsilon)
            danchor[i, d] = -dpositive[i, d] - dnegative[i, d]
    return danchor, dpositive, dnegative


@njit(cache=True)
def _center_loss(x, labels, centers, loss):  # type: ignore[no-untyped-def]  # numba infers the types
    total = x.dtype.type(0)
    for i in range(x.shape[0]):
        for d in range(x.shape[1]):
            difference = x[i, d] - centers[labels[i], d]
            total += difference * difference
    loss[()] = total / (2 * x.shape[0])
    return loss


@njit(cache=True)
def _center_loss_backward(x, labels, centers, dloss, dx, dcenters):  # type: ignore[no-untyped-def]  # numba infers the types
    number = x.dtype.type
    share = dloss[()] / number(x.shape[0])
    dcenters[:] = number(0)
    for i in range(x.shape[0]):
        for d in range(x.shape[1]):
            dx[i, d] = share * (x[i, d] - centers[labels[i], d])
            dcenters[labels[i], d] -= dx[i, d]
    return dx, dcenters


@implements("contrastive_loss", variant="naive")
def contrastive_loss(problem: Problem, a: Tensor, b: Tensor, similar: Tensor) -> Call:
    """A loop over each pair for its distance."""
    return partial(_contrastive_loss, a, b, similar, _margin(problem, a), np.empty((), a.dtype))


@implements("contrastive_loss", variant="naive", directions=BACKWARD)
def contrastive_loss_backward(problem: Problem, a: Tensor, b: Tensor, similar: Tensor, dloss: Tensor) -> Call:
    """A loop over each pair for its distance, and one for the gradients."""
    margin = _margin(problem, a)
    return partial(
        _contrastive_loss_backward, a, b, similar, dloss, margin, np.empty_like(a), np.empty_like(b)
    )


@implements("triplet_loss", variant="naive")
def triplet_loss(problem: Problem, anchor: Tensor, positive: Tensor, negative: Tensor) -> Call:
    """Two loops over each triplet, one for either distance."""
    margin = _margin(problem, anchor)
    return partial(_triplet_loss, anchor, positive, negative, margin, np.empty((), anchor.dtype))


@implements("triplet_loss", variant="naive", directions=BACKWARD)
def triplet_loss_backward(
    problem: Problem, anchor: Tensor, positive: Tensor, negative: Tensor, dloss: Tensor
) -> Call:
    """Two loops over each triplet for its distances, and one for the gradients."""
    margin = _margin(problem, anchor)
    gradients = [np.empty_like(anchor) for _ in range(3)]
    return partial(_triplet_loss_backward, anchor, positive, negative, dloss, margin, *gradients)


@implements("center_loss", variant="naive")
def center_loss(problem: Problem, x: Tensor, labels: Tensor, centers: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """A loop over each feature."""
    return partial(_center_loss, x, labels, centers, np.empty((), x.dtype))


@implements("center_loss", variant="naive", directions=BACKWARD)
def center_loss_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: Tensor,
    labels: Tensor,
    centers: Tensor,
    dloss: Tensor,
) -> Call:
    """A loop over each feature, which adds to its center's gradient."""
    return partial(_center_loss_backward, x, labels, centers, dloss, np.empty_like(x), np.empty_like(centers))
