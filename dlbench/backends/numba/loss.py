"""Losses of real numbers as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
BACKWARD: tuple[Direction, ...] = ("backward",)


@njit(cache=True)
def _mse_loss(x, target, loss):  # type: ignore[no-untyped-def]  # numba infers the types
    total = x.dtype.type(0)
    for i in range(x.size):
        difference = x[i] - target[i]
        total += difference * difference
    loss[()] = total / x.size
    return loss


@njit(cache=True)
def _mse_loss_backward(x, target, dloss, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    number = x.dtype.type
    factor = number(2) * dloss[()] / number(x.size)
    for i in range(x.size):
        dx[i] = factor * (x[i] - target[i])
    return dx


@njit(cache=True)
def _l1_loss(x, target, loss):  # type: ignore[no-untyped-def]  # numba infers the types
    total = x.dtype.type(0)
    for i in range(x.size):
        total += abs(x[i] - target[i])
    loss[()] = total / x.size
    return loss


@njit(cache=True)
def _l1_loss_backward(x, target, dloss, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    number = x.dtype.type
    factor = dloss[()] / number(x.size)
    for i in range(x.size):
        dx[i] = factor * np.sign(x[i] - target[i])
    return dx


@implements("mse_loss", variant="naive")
def mse_loss(problem: Problem, x: Tensor, target: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """One square after another, added up."""
    return partial(_mse_loss, x, target, np.empty((), x.dtype))


@implements("mse_loss", variant="naive", directions=BACKWARD)
def mse_loss_backward(problem: Problem, x: Tensor, target: Tensor, dloss: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """One difference after another, times 2 dloss / n."""
    return partial(_mse_loss_backward, x, target, dloss, np.empty_like(x))


@implements("l1_loss", variant="naive")
def l1_loss(problem: Problem, x: Tensor, target: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """One magnitude after another, added up."""
    return partial(_l1_loss, x, target, np.empty((), x.dtype))


@implements("l1_loss", variant="naive", directions=BACKWARD)
def l1_loss_backward(problem: Problem, x: Tensor, target: Tensor, dloss: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """One sign after another, times dloss / n."""
    return partial(_l1_loss_backward, x, target, dloss, np.empty_like(x))
