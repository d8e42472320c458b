"""Arithmetic on single elements as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _multiply(a, b, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.size):
        y[i] = a[i] * b[i]
    return y


@njit(
    cache=True, error_model="numpy"
)  # a division is not looked at for a divisor of 0, and can be vectorised
def _divide(a, b, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.size):
        y[i] = a[i] / b[i]
    return y


@njit(cache=True)
def _exp(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.size):
        y[i] = np.exp(x[i])
    return y


@njit(cache=True)
def _sqrt(x, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.size):
        y[i] = np.sqrt(x[i])
    return y


@njit(cache=True)
def _bias_add(x, b, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            y[i, j] = x[i, j] + b[j]
    return y


@implements("multiply", variant="naive")
def multiply(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """One product after another."""
    return partial(_multiply, a, b, np.empty_like(a))


@implements("divide", variant="naive")
def divide(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """One quotient after another."""
    return partial(_divide, a, b, np.empty_like(a))


@implements("exp", variant="naive")
def exp(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """One exponential after another."""
    return partial(_exp, x, np.empty_like(x))


@implements("sqrt", variant="naive")
def sqrt(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """One root after another."""
    return partial(_sqrt, x, np.empty_like(x))


@implements("bias_add", variant="naive")
def bias_add(problem: Problem, x: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """One sum after another, row by row."""
    return partial(_bias_add, x, b, np.empty_like(x))
