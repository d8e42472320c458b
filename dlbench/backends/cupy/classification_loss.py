"""Losses of scores and labels as array operations."""

from __future__ import annotations

from collections.abc import Callable

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.expression import kernel
from dlbench.backends.cupy.loss import mean_call
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.backends.cupy.softmax import LIBRARY_DTYPES, softmax_call, wide
from dlbench.ops.classification_loss import MARGIN
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

BACKWARD: tuple[Direction, ...] = ("backward",)


def picker(x: Tensor, labels: Tensor) -> tuple[Tensor, Callable[[], None]]:
    """Return an array, rows × 1, and what writes the labels' elements of x into it."""
    rows, cols = x.shape
    starts, places = cupy.arange(0, rows * cols, cols), cupy.empty(rows, labels.dtype)
    picked, flat = cupy.empty(rows, x.dtype), x.reshape(-1)

    def pick() -> None:
        cupy.add(starts, labels, out=places)
        cupy.take(flat, places, out=picked)

    return picked.reshape(rows, 1), pick


@implements("zero_one_loss", variant="library", dtypes=LIBRARY_DTYPES)
def zero_one_loss(problem: Problem, x: Tensor, labels: Tensor) -> Call:
    """cupy.argmax of each row, and how often it is not the label."""
    rows, loss = x.shape[0], only(outputs_of(problem))
    largest, wrong = cupy.empty(rows, labels.dtype), cupy.empty(rows, bool)
    count = cupy.empty((), labels.dtype)

    def call() -> Tensor:
        cupy.argmax(x, axis=1, out=largest)
        cupy.not_equal(largest, labels, out=wrong)
        cupy.sum(wrong, out=count)
        cupy.divide(count, rows, out=loss)
        return loss

    return call


@implements("hinge_loss", variant="library", dtypes=LIBRARY_DTYPES)
def hinge_loss(problem: Problem, x: Tensor, labels: Tensor) -> Call:
    """What each class comes too near, by one kernel, and the sum."""
    dtype, number = problem.dtype, wide(problem.dtype)
    short = kernel(
        "hinge_loss_terms",
        "(column != label) * (margin - own + x > 0) * (margin - own + x)",
        f"{number} term",
        *(f"{dtype} x", f"{dtype} own", "int64 column", "int64 label", f"{number} margin"),
    )
    own, pick = picker(x, labels)
    columns, label, terms = cupy.arange(x.shape[1]), labels.reshape(-1, 1), cupy.empty(x.shape, number)
    average = mean_call(terms, only(outputs_of(problem)), x.size)

    def call() -> Tensor:
        pick()
        short(x, own, columns, label, MARGIN, terms)
        return average()

    return call


@implements("hinge_loss", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def hinge_loss_backward(problem: Problem, x: Tensor, labels: Tensor, dloss: Tensor) -> Call:
    """Where a class comes too near, their number, and the gradient: two kernels and a sum."""
    dtype, number = problem.dtype, wide(problem.dtype)
    compare = kernel(
        "hinge_loss_near",
        "(column != label) * (margin - own + x > 0)",
        "bool lacking",
        *(f"{dtype} x", f"{dtype} own", "int64 column", "int64 label", f"{number} margin"),
    )
    differentiate = kernel(
        "hinge_loss_backward",
        "(lacking - (column == label) * count) * dloss * share",
        f"{dtype} dx",
        *("bool lacking", "int64 count", "int64 column", "int64 label", f"{dtype} dloss", f"{number} share"),
    )
    own, pick = picker(x, labels)
    columns, label = cupy.arange(x.shape[1]), labels.reshape(-1, 1)
    near, count = cupy.empty(x.shape, bool), cupy.empty(label.shape, labels.dtype)
    dx, share = only(outputs_of(problem)), 1 / x.size

    def call() -> Tensor:
        pick()
        compare(x, own, columns, label, MARGIN, near)
        cupy.sum(near, axis=1, keepdims=True, out=count)
        differentiate(near, count, columns, label, dloss, share, dx)
        return dx

    return call


@implements("cross_entropy", variant="library", dtypes=LIBRARY_DTYPES)
def cross_entropy(problem: Problem, x: Tensor, labels: Tensor) -> Call:
    """The logarithm of each row's sum of exponentials less the label's element, and their sum."""
    return cross_entropy_call(problem.dtype, x, labels, only(outputs_of(problem)))


def cross_entropy_call(dtype: str, x: Tensor, labels: Tensor, loss: Tensor) -> Call:
    """Return a call that writes the cross-entropy of x into the loss."""
    shifted, largest = cupy.empty(x.shape, wide(dtype)), cupy.empty((x.shape[0], 1), x.dtype)
    total = cupy.empty(largest.shape, shifted.dtype)
    own, pick = picker(shifted, labels)
    average = mean_call(total, loss, x.shape[0])

    def call() -> Tensor:
        cupy.max(x, axis=1, keepdims=True, out=largest)
        cupy.subtract(x, largest, out=shifted, dtype=shifted.dtype)
        pick()
        cupy.exp(shifted, out=shifted)
        cupy.sum(shifted, axis=1, keepdims=True, out=total)
        cupy.log(total, out=total)
        cupy.subtract(total, own, out=total)
        return average()

    return call


@implements("cross_entropy", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def cross_entropy_backward(problem: Problem, x: Tensor, labels: Tensor, dloss: Tensor) -> Call:
    """The softmax, and one kernel for what is left of it."""
    return cross_entropy_gradient_call(problem.dtype, x, labels, dloss, only(outputs_of(problem)))


def cross_entropy_gradient_call(dtype: str, x: Tensor, labels: Tensor, dloss: Tensor, dx: Tensor) -> Call:
    """Return a call that writes the gradient with respect to x into dx."""
    number = wide(dtype)
    differentiate = kernel(
        "cross_entropy_backward",
        "(y - (column == label)) * dloss * share",
        f"{dx.dtype} dx",
        *(f"{number} y", "int64 column", "int64 label", f"{dloss.dtype} dloss", f"{number} share"),
    )
    y, columns, label = cupy.empty(x.shape, number), cupy.arange(x.shape[1]), labels.reshape(-1, 1)
    weigh, share = softmax_call(dtype, x, y), 1 / x.shape[0]

    def call() -> Tensor:
        weigh()
        differentiate(y, columns, label, dloss, share, dx)
        return dx

    return call


@implements("nll_loss", variant="library", dtypes=LIBRARY_DTYPES)
def nll_loss(problem: Problem, x: Tensor, labels: Tensor) -> Call:
    """The labels' elements, and their sum."""
    own, pick = picker(x, labels)
    total, loss, rows = cupy.empty((), wide(problem.dtype)), only(outputs_of(problem)), x.shape[0]

    def call() -> Tensor:
        pick()
        cupy.sum(own, out=total, dtype=total.dtype)
        cupy.divide(total, -rows, out=loss)
        return loss

    return call


@implements("nll_loss", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def nll_loss_backward(problem: Problem, labels: Tensor, dloss: Tensor) -> Call:
    """-dloss / rows at the labels, else 0, by one kernel."""
    dx, dtype, number = only(outputs_of(problem)), problem.dtype, wide(problem.dtype)
    (rows, cols), label = dx.shape, labels.reshape(-1, 1)
    differentiate = kernel(
        "nll_loss_backward",
        "(column == label) * dloss * share",
        f"{dtype} dx",
        *("int64 column", "int64 label", f"{dtype} dloss", f"{number} share"),
    )
    columns = cupy.arange(cols)

    def call() -> Tensor:
        differentiate(columns, label, dloss, -1 / rows, dx)
        return dx

    return call
