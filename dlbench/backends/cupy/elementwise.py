"""Arithmetic on single elements as array operations."""

from __future__ import annotations

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import Tensor
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

LIBRARY_DTYPES = ("float32", "float64", "float16")


@implements("multiply", variant="library", dtypes=LIBRARY_DTYPES)
def multiply(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """cupy.multiply."""
    y = cupy.empty_like(a)
    return lambda: cupy.multiply(a, b, out=y)


@implements("divide", variant="library", dtypes=LIBRARY_DTYPES)
def divide(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """cupy.divide."""
    y = cupy.empty_like(a)
    return lambda: cupy.divide(a, b, out=y)


@implements("exp", variant="library", dtypes=LIBRARY_DTYPES)
def exp(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """cupy.exp."""
    y = cupy.empty_like(x)
    return lambda: cupy.exp(x, out=y)


@implements("sqrt", variant="library", dtypes=LIBRARY_DTYPES)
def sqrt(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """cupy.sqrt."""
    y = cupy.empty_like(x)
    return lambda: cupy.sqrt(x, out=y)


@implements("bias_add", variant="library", dtypes=LIBRARY_DTYPES)
def bias_add(problem: Problem, x: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """cupy.add, which spreads b over the rows."""
    y = cupy.empty_like(x)
    return lambda: cupy.add(x, b, out=y)
