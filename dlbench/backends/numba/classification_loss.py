"""Losses of scores and labels as loops over each row."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.classification_loss import MARGIN
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
BACKWARD: tuple[Direction, ...] = ("backward",)


@njit(cache=True)
def _zero_one_loss(x, labels, loss):  # type: ignore[no-untyped-def]  # numba infers the types
    wrong = 0
    for i in range(x.shape[0]):
        largest = 0
        for j in range(x.shape[1]):
            if x[i, j] > x[i, largest]:
                largest = j
        wrong += largest != labels[i]
    loss[()] = wrong / x.shape[0]
    return loss


@njit(cache=True)
def _hinge_loss(x, labels, loss):  # type: ignore[no-untyped-def]  # numba infers the types
    zero, margin = x.dtype.type(0), x.dtype.type(MARGIN)
    total = zero
    for i in range(x.shape[0]):
        least = margin - x[i, labels[i]]
        for j in range(x.shape[1]):
            if j != labels[i]:
                total += max(zero, least + x[i, j])
    loss[()] = total / x.size
    return loss


@njit(cache=True)
def _hinge_loss_backward(x, labels, dloss, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    number = x.dtype.type
    zero, margin, factor = number(0), number(MARGIN), dloss[()] / number(x.size)
    for i in range(x.shape[0]):
        least, total = margin - x[i, labels[i]], zero
        for j in range(x.shape[1]):
            dx[i, j] = factor if j != labels[i] and least + x[i, j] > 0 else zero
            total += dx[i, j]
        dx[i, labels[i]] = -total
    return dx


@njit(cache=True)
def _cross_entropy(x, labels, loss):  # type: ignore[no-untyped-def]  # numba infers the types
    mean = x.dtype.type(0)
    for i in range(x.shape[0]):
        largest, total = x[i, 0], x.dtype.type(0)
        for j in range(x.shape[1]):
            largest = max(largest, x[i, j])
        for j in range(x.shape[1]):
            total += np.exp(x[i, j] - largest)
        mean += largest - x[i, labels[i]] + np.log(total)
    loss[()] = mean / x.shape[0]
    return loss


@njit(cache=True)
def _cross_entropy_backward(x, labels, dloss, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    number = x.dtype.type
    factor = dloss[()] / number(x.shape[0])
    for i in range(x.shape[0]):
        largest, total = x[i, 0], number(0)
        for j in range(x.shape[1]):
            largest = max(largest, x[i, j])
        for j in range(x.shape[1]):
            dx[i, j] = np.exp(x[i, j] - largest)
            total += dx[i, j]
        for j in range(x.shape[1]):
            dx[i, j] *= factor / total
        dx[i, labels[i]] -= factor
    return dx


@njit(cache=True)
def _nll_loss(x, labels, loss):  # type: ignore[no-untyped-def]  # numba infers the types
    total = x.dtype.type(0)
    for i in range(x.shape[0]):
        total -= x[i, labels[i]]
    loss[()] = total / x.shape[0]
    return loss


@njit(cache=True)
def _nll_loss_backward(labels, dloss, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    number = dx.dtype.type
    factor = -dloss[()] / number(dx.shape[0])
    for i in range(dx.shape[0]):
        for j in range(dx.shape[1]):
            dx[i, j] = number(0)
        dx[i, labels[i]] = factor
    return dx


@implements("zero_one_loss", variant="naive")
def zero_one_loss(problem: Problem, x: Tensor, labels: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The place of each row's largest element, compared with its label."""
    return partial(_zero_one_loss, x, labels, np.empty((), x.dtype))


@implements("hinge_loss", variant="naive")
def hinge_loss(problem: Problem, x: Tensor, labels: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """What each class comes too near, added up."""
    return partial(_hinge_loss, x, labels, np.empty((), x.dtype))


@implements("hinge_loss", variant="naive", directions=BACKWARD)
def hinge_loss_backward(problem: Problem, x: Tensor, labels: Tensor, dloss: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """A share for each class that comes too near, less their sum for the label."""
    return partial(_hinge_loss_backward, x, labels, dloss, np.empty_like(x))


@implements("cross_entropy", variant="naive")
def cross_entropy(problem: Problem, x: Tensor, labels: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """Two loops over each row: its largest element, and the sum of its exponentials."""
    return partial(_cross_entropy, x, labels, np.empty((), x.dtype))


@implements("cross_entropy", variant="naive", directions=BACKWARD)
def cross_entropy_backward(problem: Problem, x: Tensor, labels: Tensor, dloss: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The softmax of each row in three loops, and its label's share taken off."""
    return partial(_cross_entropy_backward, x, labels, dloss, np.empty_like(x))


@implements("nll_loss", variant="naive")
def nll_loss(problem: Problem, x: Tensor, labels: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """One element of each row, added up."""
    return partial(_nll_loss, x, labels, np.empty((), x.dtype))


@implements("nll_loss", variant="naive", directions=BACKWARD)
def nll_loss_backward(problem: Problem, labels: Tensor, dloss: Tensor) -> Call:
    """Zeros, and one element of each row."""
    return partial(
        _nll_loss_backward, labels, dloss, np.empty(problem.op.outputs("backward")["dx"], dloss.dtype)
    )
