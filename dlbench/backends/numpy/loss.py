"""Losses of real numbers as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
BACKWARD: tuple[Direction, ...] = ("backward",)


@implements("mse_loss", variant="native")
def mse_loss(problem: Problem, x: Tensor, target: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The squares of the differences, and their mean."""
    terms, loss = np.empty_like(x), np.empty((), x.dtype)

    def call() -> Tensor:
        np.subtract(x, target, out=terms)
        np.multiply(terms, terms, out=terms)
        np.mean(terms, out=loss)
        return loss

    return call


@implements("mse_loss", variant="native", directions=BACKWARD)
def mse_loss_backward(problem: Problem, x: Tensor, target: Tensor, dloss: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The differences times 2 dloss / n."""
    dx = np.empty_like(x)

    def call() -> Tensor:
        np.subtract(x, target, out=dx)
        return np.multiply(dx, 2 * dloss / x.size, out=dx)

    return call


@implements("l1_loss", variant="native")
def l1_loss(problem: Problem, x: Tensor, target: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The magnitudes of the differences, and their mean."""
    terms, loss = np.empty_like(x), np.empty((), x.dtype)

    def call() -> Tensor:
        np.subtract(x, target, out=terms)
        np.absolute(terms, out=terms)
        np.mean(terms, out=loss)
        return loss

    return call


@implements("l1_loss", variant="native", directions=BACKWARD)
def l1_loss_backward(problem: Problem, x: Tensor, target: Tensor, dloss: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The differences' signs times dloss / n."""
    dx = np.empty_like(x)

    def call() -> Tensor:
        np.subtract(x, target, out=dx)
        np.sign(dx, out=dx)
        return np.multiply(dx, dloss / x.size, out=dx)

    return call
