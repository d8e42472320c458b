"""Arithmetic on single elements as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
DTYPES = ("float32", "float64", "float16")


@implements("multiply", variant="native", dtypes=DTYPES)
def multiply(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """numpy.multiply."""
    y = np.empty_like(a)
    return lambda: np.multiply(a, b, out=y)


@implements("divide", variant="native", dtypes=DTYPES)
def divide(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """numpy.divide."""
    y = np.empty_like(a)
    return lambda: np.divide(a, b, out=y)


@implements("exp", variant="native", dtypes=DTYPES)
def exp(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """numpy.exp."""
    y = np.empty_like(x)
    return lambda: np.exp(x, out=y)


@implements("sqrt", variant="native", dtypes=DTYPES)
def sqrt(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """numpy.sqrt."""
    y = np.empty_like(x)
    return lambda: np.sqrt(x, out=y)


@implements("bias_add", variant="native", dtypes=DTYPES)
def bias_add(problem: Problem, x: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """numpy.add, which spreads b over the rows."""
    y = np.empty_like(x)
    return lambda: np.add(x, b, out=y)
