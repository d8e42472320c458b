"""STREAM's kernels as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.ops.stream import SCALAR
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _copy(a, c):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(c.size):
        c[i] = a[i]
    return c


@njit(cache=True)
def _scale(a, c, scalar):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(c.size):
        c[i] = scalar * a[i]
    return c


@njit(cache=True)
def _add(a, b, c):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(c.size):
        c[i] = a[i] + b[i]
    return c


@njit(cache=True)
def _triad(a, b, c, scalar):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(c.size):
        c[i] = a[i] + scalar * b[i]
    return c


@implements("copy", variant="naive")
def copy(problem: Problem, a: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """c = a."""
    return partial(_copy, a, np.empty_like(a))


@implements("scale", variant="naive")
def scale(problem: Problem, a: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """c = 3 a."""
    return partial(_scale, a, np.empty_like(a), a.dtype.type(SCALAR))


@implements("add", variant="naive")
def add(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """c = a + b."""
    return partial(_add, a, b, np.empty_like(a))


@implements("triad", variant="naive")
def triad(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """c = a + 3 b."""
    return partial(_triad, a, b, np.empty_like(a), a.dtype.type(SCALAR))
