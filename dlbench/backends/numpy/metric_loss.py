"""Losses of distances as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.metric_loss import EPSILON, ContrastiveLoss, TripletLoss
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
BACKWARD: tuple[Direction, ...] = ("backward",)


def _margin(problem: Problem) -> float:
    op = problem.op
    if not isinstance(op, ContrastiveLoss | TripletLoss):
        raise TypeError(f"not a loss with a margin: {op!r}")
    return op.margin


def _measure(a: Tensor, b: Tensor, difference: Tensor, distance: Tensor) -> None:
    """Write a - b + 1e-6 and its length, row by row."""
    np.subtract(a, b, out=difference)
    np.add(difference, EPSILON, out=difference)
    np.einsum("nd,nd->n", difference, difference, out=distance)
    np.sqrt(distance, out=distance)


@implements("contrastive_loss", variant="native")
def contrastive_loss(problem: Problem, a: Tensor, b: Tensor, similar: Tensor) -> Call:
    """The distances, in their place for others what these lack of the margin, and the mean of the squares."""
    margin, difference, loss = _margin(problem), np.empty_like(a), np.empty((), a.dtype)
    distance, counted = (np.empty(a.shape[0], a.dtype) for _ in range(2))

    def call() -> Tensor:
        _measure(a, b, difference, distance)
        np.subtract(margin, distance, out=counted)
        np.maximum(counted, 0, out=counted)
        np.copyto(counted, distance, where=similar)
        np.multiply(counted, counted, out=counted)
        np.mean(counted, out=loss)
        return loss

    return call


@implements("contrastive_loss", variant="native", directions=BACKWARD)
def contrastive_loss_backward(problem: Problem, a: Tensor, b: Tensor, similar: Tensor, dloss: Tensor) -> Call:
    """The differences, each pair's times its factor."""
    margin, da, db = _margin(problem), np.empty_like(a), np.empty_like(b)
    distance, factor = (np.empty((a.shape[0], 1), a.dtype) for _ in range(2))

    def call() -> tuple[Tensor, Tensor]:
        _measure(a, b, da, distance[:, 0])
        np.subtract(distance, margin, out=factor)
        np.minimum(factor, 0, out=factor)
        np.divide(factor, distance, out=factor)
        np.copyto(factor, 1, where=similar[:, None])
        np.multiply(factor, 2 * dloss / a.shape[0], out=factor)
        np.multiply(da, factor, out=da)
        return da, np.negative(da, out=db)

    return call


@implements("triplet_loss", variant="native")
def triplet_loss(problem: Problem, anchor: Tensor, positive: Tensor, negative: Tensor) -> Call:
    """Both distances, what the second lacks of the first and the margin, and the mean."""
    margin, difference, loss = _margin(problem), np.empty_like(anchor), np.empty((), anchor.dtype)
    near, far = (np.empty(anchor.shape[0], anchor.dtype) for _ in range(2))

    def call() -> Tensor:
        _measure(anchor, positive, difference, near)
        _measure(anchor, negative, difference, far)
        _lack(near, far, margin, far)
        np.maximum(far, 0, out=far)
        np.mean(far, out=loss)
        return loss

    return call


@implements("triplet_loss", variant="native", directions=BACKWARD)
def triplet_loss_backward(
    problem: Problem, anchor: Tensor, positive: Tensor, negative: Tensor, dloss: Tensor
) -> Call:
    """The differences, each over its distance, where the margin is not kept."""
    margin = _margin(problem)
    danchor, dpositive, dnegative = (np.empty_like(anchor) for _ in range(3))
    near, far, counted = (np.empty((anchor.shape[0], 1), anchor.dtype) for _ in range(3))

    def call() -> tuple[Tensor, Tensor, Tensor]:
        _measure(anchor, positive, dpositive, near[:, 0])
        _measure(anchor, negative, dnegative, far[:, 0])
        _lack(near, far, margin, counted)
        np.heaviside(counted, 0, out=counted)
        np.multiply(counted, dloss / anchor.shape[0], out=counted)
        np.divide(counted, far, out=far)
        np.divide(counted, near, out=near)
        np.negative(near, out=near)
        np.multiply(dpositive, near, out=dpositive)
        np.multiply(dnegative, far, out=dnegative)
        np.add(dpositive, dnegative, out=danchor)
        return np.negative(danchor, out=danchor), dpositive, dnegative

    return call


def _lack(near: Tensor, far: Tensor, margin: float, out: Tensor) -> None:
    """Write near - far + margin."""
    np.subtract(near, far, out=out)
    np.add(out, margin, out=out)


@implements("center_loss", variant="native")
def center_loss(problem: Problem, x: Tensor, labels: Tensor, centers: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The differences from the labels' centers, and half the mean of their squared lengths."""
    difference, loss = np.empty_like(x), np.empty((), x.dtype)

    def call() -> Tensor:
        _differ(x, labels, centers, difference)
        np.multiply(difference, difference, out=difference)
        np.sum(difference, out=loss)
        np.divide(loss, 2 * x.shape[0], out=loss)
        return loss

    return call


@implements("center_loss", variant="native", directions=BACKWARD)
def center_loss_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: Tensor,
    labels: Tensor,
    centers: Tensor,
    dloss: Tensor,
) -> Call:
    """The differences, taken off their centers by numpy.subtract.at."""
    dx, dcenters = np.empty_like(x), np.empty_like(centers)

    def call() -> tuple[Tensor, Tensor]:
        _differ(x, labels, centers, dx)
        np.multiply(dx, dloss / x.shape[0], out=dx)
        dcenters.fill(0)
        np.subtract.at(dcenters, labels, dx)
        return dx, dcenters

    return call


def _differ(x: Tensor, labels: Tensor, centers: Tensor, out: Tensor) -> None:
    """Write the features less their centers."""
    np.take(centers, labels, axis=0, out=out, mode="clip")  # `raise` would take a copy
    np.subtract(x, out, out=out)
