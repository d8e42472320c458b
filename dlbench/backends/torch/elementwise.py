"""Arithmetic on single elements through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


@implements("multiply", variant="library", dtypes=DTYPES)
@implements("multiply", variant="native", dtypes=DTYPES)
def multiply(problem: Problem, a: torch.Tensor, b: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.mul."""
    return partial(torch.mul, a, b, out=torch.empty_like(a))


@implements("divide", variant="library", dtypes=DTYPES)
@implements("divide", variant="native", dtypes=DTYPES)
def divide(problem: Problem, a: torch.Tensor, b: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.div."""
    return partial(torch.div, a, b, out=torch.empty_like(a))


@implements("exp", variant="library", dtypes=DTYPES)
@implements("exp", variant="native", dtypes=DTYPES)
def exp(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.exp."""
    return partial(torch.exp, x, out=torch.empty_like(x))


@implements("sqrt", variant="library", dtypes=DTYPES)
@implements("sqrt", variant="native", dtypes=DTYPES)
def sqrt(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.sqrt."""
    return partial(torch.sqrt, x, out=torch.empty_like(x))


@implements("bias_add", variant="library", dtypes=DTYPES)
@implements("bias_add", variant="native", dtypes=DTYPES)
def bias_add(problem: Problem, x: torch.Tensor, b: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.add, which spreads b over the rows."""
    return partial(torch.add, x, b, out=torch.empty_like(x))
