"""Losses of scores and labels as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.classification_loss import MARGIN
from dlbench.ops.op import Direction, Shape
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
BACKWARD: tuple[Direction, ...] = ("backward",)


class Places:
    """Where the labels' elements are in a matrix gone through row by row; its buffers are made once."""

    def __init__(self, shape: Shape, dtype: np.dtype[Any]) -> None:
        rows, cols = shape
        self._starts = np.arange(rows) * cols
        self._flat = np.empty(rows, np.intp)
        self._picked = np.empty(rows, dtype)

    def of(self, labels: Tensor) -> Tensor:
        """Return the places."""
        return np.add(self._starts, labels, out=self._flat)

    def taken(self, x: Tensor, labels: Tensor) -> Tensor:
        """Return the labels' elements of x."""
        return np.take(
            x.reshape(-1), self.of(labels), out=self._picked, mode="clip"
        )  # `raise` would take a copy


@implements("zero_one_loss", variant="native")
def zero_one_loss(problem: Problem, x: Tensor, labels: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """numpy.argmax of each row, and how often it is not the label."""
    largest, wrong = np.empty(x.shape[0], np.intp), np.empty(x.shape[0], bool)
    loss = np.empty((), x.dtype)

    def call() -> Tensor:
        np.argmax(x, axis=1, out=largest)
        np.not_equal(largest, labels, out=wrong)
        loss[()] = np.count_nonzero(wrong) / wrong.size
        return loss

    return call


@implements("hinge_loss", variant="native")
def hinge_loss(problem: Problem, x: Tensor, labels: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """What each class comes too near, and its mean."""
    short, places, loss = np.empty_like(x), Places(x.shape, x.dtype), np.empty((), x.dtype)

    def call() -> Tensor:
        _lacking(x, labels, places, short)
        np.maximum(short, 0, out=short)
        np.mean(short, out=loss)
        return loss

    return call


@implements("hinge_loss", variant="native", directions=BACKWARD)
def hinge_loss_backward(problem: Problem, x: Tensor, labels: Tensor, dloss: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """A share for each class that comes too near, less their sum for the label."""
    dx, places, near = np.empty_like(x), Places(x.shape, x.dtype), np.empty(x.shape, bool)
    total = np.empty(x.shape[0], x.dtype)

    def call() -> Tensor:
        _lacking(x, labels, places, dx)
        np.greater(dx, 0, out=near)
        np.multiply(near, dloss / x.size, out=dx)
        np.sum(dx, axis=1, out=total)
        dx.reshape(-1)[places.of(labels)] = np.negative(total, out=total)
        return dx

    return call


def _lacking(x: Tensor, labels: Tensor, places: Places, out: Tensor) -> None:
    """Write by how much each class comes nearer to the label than the margin; 0 for the label itself."""
    least = places.taken(x, labels)
    np.subtract(MARGIN, least, out=least)
    np.add(x, least[:, None], out=out)
    out.reshape(-1)[places.of(labels)] = 0


@implements("cross_entropy", variant="native")
def cross_entropy(problem: Problem, x: Tensor, labels: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The logarithm of each row's sum of exponentials less the label's element, and their mean."""
    return cross_entropy_call(x, labels, np.empty_like(x))


def cross_entropy_call(x: Tensor, labels: Tensor, powers: Tensor) -> Call:
    """Return a call that computes the loss, the exponentials in a buffer that may be x."""
    places, loss = Places(x.shape, x.dtype), np.empty((), x.dtype)
    largest, total = np.empty((x.shape[0], 1), x.dtype), np.empty(x.shape[0], x.dtype)

    def call() -> Tensor:
        np.max(x, axis=1, keepdims=True, out=largest)
        np.subtract(x, largest, out=powers)
        picked = places.taken(powers, labels)
        np.exp(powers, out=powers)
        np.sum(powers, axis=1, out=total)
        np.log(total, out=total)
        np.subtract(total, picked, out=total)
        np.mean(total, out=loss)
        return loss

    return call


@implements("cross_entropy", variant="native", directions=BACKWARD)
def cross_entropy_backward(problem: Problem, x: Tensor, labels: Tensor, dloss: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The softmax in place in the output, 1 taken off at the labels, and the product with dloss / rows."""
    return softmax_less_label_call(x, labels, dloss, np.empty_like(x))


def softmax_less_label_call(x: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> Call:
    """Return a call that writes the gradient into dx, which may be x."""
    places, of_rows = Places(x.shape, x.dtype), np.empty((x.shape[0], 1), x.dtype)

    def call() -> Tensor:
        np.max(x, axis=1, keepdims=True, out=of_rows)
        np.subtract(x, of_rows, out=dx)
        np.exp(dx, out=dx)
        np.sum(dx, axis=1, keepdims=True, out=of_rows)
        np.divide(dx, of_rows, out=dx)
        dx.reshape(-1)[places.of(labels)] -= 1
        np.multiply(dx, dloss / x.shape[0], out=dx)
        return dx

    return call


@implements("nll_loss", variant="native")
def nll_loss(problem: Problem, x: Tensor, labels: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The mean of the labels' elements, its sign changed."""
    places, loss = Places(x.shape, x.dtype), np.empty((), x.dtype)

    def call() -> Tensor:
        np.mean(places.taken(x, labels), out=loss)
        return np.negative(loss, out=loss)

    return call


@implements("nll_loss", variant="native", directions=BACKWARD)
def nll_loss_backward(problem: Problem, labels: Tensor, dloss: Tensor) -> Call:
    """Zeros, and one element of each row."""
    rows, cols = problem.op.outputs("backward")["dx"]
    dx = np.empty((rows, cols), dloss.dtype)
    places = Places(dx.shape, dloss.dtype)

    def call() -> Tensor:
        dx.fill(0)
        dx.reshape(-1)[places.of(labels)] = -dloss / rows
        return dx

    return call
