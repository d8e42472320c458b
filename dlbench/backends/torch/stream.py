"""STREAM's kernels through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.ops.stream import SCALAR
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


@implements("copy", variant="library", dtypes=DTYPES)
@implements("copy", variant="native", dtypes=DTYPES)
def copy(problem: Problem, a: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """c = a."""
    return partial(torch.empty_like(a).copy_, a)


@implements("scale", variant="library", dtypes=DTYPES)
@implements("scale", variant="native", dtypes=DTYPES)
def scale(problem: Problem, a: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """c = 3 a."""
    return partial(torch.mul, a, SCALAR, out=torch.empty_like(a))


@implements("add", variant="library", dtypes=DTYPES)
@implements("add", variant="native", dtypes=DTYPES)
def add(problem: Problem, a: torch.Tensor, b: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """c = a + b."""
    return partial(torch.add, a, b, out=torch.empty_like(a))


@implements("triad", variant="library", dtypes=DTYPES)
@implements("triad", variant="native", dtypes=DTYPES)
def triad(problem: Problem, a: torch.Tensor, b: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """c = a + 3 b in one pass."""
    return partial(torch.add, a, b, alpha=SCALAR, out=torch.empty_like(a))
