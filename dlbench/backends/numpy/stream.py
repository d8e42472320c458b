"""STREAM's kernels as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.ops.stream import SCALAR
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
DTYPES = ("float32", "float64", "float16")


@implements("copy", variant="native", dtypes=DTYPES)
def copy(problem: Problem, a: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """c = a."""
    c = np.empty_like(a)

    def call() -> Tensor:
        np.copyto(c, a)
        return c

    return call


@implements("scale", variant="native", dtypes=DTYPES)
def scale(problem: Problem, a: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """c = 3 a."""
    c, scalar = np.empty_like(a), a.dtype.type(SCALAR)
    return lambda: np.multiply(a, scalar, out=c)


@implements("add", variant="native", dtypes=DTYPES)
def add(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """c = a + b."""
    c = np.empty_like(a)
    return lambda: np.add(a, b, out=c)


@implements("triad", variant="native", dtypes=DTYPES)
def triad(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """c = a + 3 b, in two passes: numpy has no fused form."""
    c, scalar = np.empty_like(a), a.dtype.type(SCALAR)

    def call() -> Tensor:
        np.multiply(b, scalar, out=c)
        return np.add(a, c, out=c)

    return call
