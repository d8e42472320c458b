"""Reductions of rows as array expressions."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
EXACT_DTYPES = ("float32", "float64", "float16")
"""Of what adds nothing up: numpy would do that in float16."""


@implements("sum", variant="native")
def row_sums(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """numpy.sum over the last axis, pairwise, into an output of its own."""
    return partial(np.sum, x, axis=-1, out=np.empty(x.shape[0], x.dtype))


@implements("mean", variant="native")
def row_means(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """numpy.mean over the last axis: the sum, pairwise, and a division."""
    return partial(np.mean, x, axis=-1, out=np.empty(x.shape[0], x.dtype))


@implements("norm2", variant="native")
def row_norms(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """The product of each row with itself, and its root: numpy.linalg.norm would write the squares to memory."""
    y = np.empty(x.shape[0], x.dtype)

    def call() -> Tensor:
        np.vecdot(x, x, out=y)
        return np.sqrt(y, out=y)

    return call


@implements("max", variant="native", dtypes=EXACT_DTYPES)
def row_maxima(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """numpy.max over the last axis."""
    return partial(np.max, x, axis=-1, out=np.empty(x.shape[0], x.dtype))


@implements("argmax", variant="native", dtypes=EXACT_DTYPES)
def row_argmaxima(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """numpy.argmax over the last axis: the first of equal ones."""
    return partial(np.argmax, x, axis=-1, out=np.empty(x.shape[0], np.int64))
