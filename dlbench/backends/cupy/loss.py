"""Losses of real numbers as array operations: the terms in a buffer by one kernel, then their sum."""

from __future__ import annotations

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.expression import kernel, one_pass
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.backends.cupy.softmax import LIBRARY_DTYPES, wide
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

BACKWARD: tuple[Direction, ...] = ("backward",)


def mean_call(terms: Tensor, loss: Tensor, count: float) -> Call:
    """Return a call that writes the terms' sum over `count` into the loss; the sum is in the terms' format."""
    total = cupy.empty((), terms.dtype)

    def call() -> Tensor:
        cupy.sum(terms, out=total)
        cupy.divide(total, count, out=loss)
        return loss

    return call


def _mean_of(problem: Problem, term: str, x: Tensor, target: Tensor) -> Call:
    """Return a call that takes the mean of an expression in x and target."""
    number, dtype = wide(problem.dtype), problem.dtype
    compute = kernel(f"{problem.op.name}_terms", term, f"{number} term", f"{dtype} x", f"{dtype} target")
    terms = cupy.empty(x.shape, number)
    average = mean_call(terms, only(outputs_of(problem)), x.size)

    def call() -> Tensor:
        compute(x, target, terms)
        return average()

    return call


@implements("mse_loss", variant="library", dtypes=LIBRARY_DTYPES)
def mse_loss(problem: Problem, x: Tensor, target: Tensor) -> Call:
    """The squares of the differences, and their sum."""
    return _mean_of(problem, "(x - target) * (x - target)", x, target)


@implements("mse_loss", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def mse_loss_backward(problem: Problem, x: Tensor, target: Tensor, dloss: Tensor) -> Call:
    """The differences times 2 dloss / n."""
    return one_pass(problem, "(x - target) * dloss * share", x, target, dloss, share=2 / x.size)


@implements("l1_loss", variant="library", dtypes=LIBRARY_DTYPES)
def l1_loss(problem: Problem, x: Tensor, target: Tensor) -> Call:
    """The magnitudes of the differences, and their sum."""
    return _mean_of(problem, "fabs(x - target)", x, target)


@implements("l1_loss", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def l1_loss_backward(problem: Problem, x: Tensor, target: Tensor, dloss: Tensor) -> Call:
    """The differences' signs times dloss / n."""
    signed = "(x > target) * dloss * share - (x < target) * dloss * share"
    return one_pass(problem, signed, x, target, dloss, share=1 / x.size)
