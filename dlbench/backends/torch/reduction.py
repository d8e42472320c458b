"""Reductions of rows through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


@implements("sum", variant="library", dtypes=DTYPES)
@implements("sum", variant="native", dtypes=DTYPES)
def row_sums(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.sum over the last axis."""
    return partial(torch.sum, x, -1)


@implements("mean", variant="library", dtypes=DTYPES)
@implements("mean", variant="native", dtypes=DTYPES)
def row_means(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.mean over the last axis."""
    return partial(torch.mean, x, -1)


@implements("norm2", variant="library", dtypes=DTYPES)
@implements("norm2", variant="native", dtypes=DTYPES)
def row_norms(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.linalg.vector_norm over the last axis."""
    return partial(torch.linalg.vector_norm, x, 2, -1)


@implements("max", variant="library", dtypes=DTYPES)
@implements("max", variant="native", dtypes=DTYPES)
def row_maxima(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.amax over the last axis: torch.max finds the columns as well."""
    return partial(torch.amax, x, -1)


@implements("argmax", variant="library", dtypes=DTYPES)
@implements("argmax", variant="native", dtypes=DTYPES)
def row_argmaxima(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.argmax over the last axis."""
    return partial(torch.argmax, x, -1)
