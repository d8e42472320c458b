"""Rows and elements by index, and matrices side by side, as array expressions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
DTYPES = ("float32", "float64", "float16")
"""Of what only moves numbers: numpy would add them up in float16."""


def _output(problem: Problem) -> Tensor:
    ((name, shape),) = problem.op.outputs(problem.direction).items()
    return np.empty(shape, problem.format(name))


def _flattener(index: Tensor, cols: int) -> Callable[[], Tensor]:
    """Return what gives the places of the index's elements in a matrix of so many columns as flat positions.

    numpy reads and adds at flat positions several times as fast as at pairs of indices. They are worked out in each
    call, into the same memory.
    """
    flat, columns = np.empty(index.shape, index.dtype), np.arange(cols)

    def flattened() -> Tensor:
        np.multiply(index, cols, out=flat)
        return np.add(flat, columns, out=flat)

    return flattened


@implements("embedding", variant="native", dtypes=DTYPES)
def embedding(problem: Problem, indices: Tensor, table: Tensor) -> Call:
    """numpy.take of rows, without the check of the indices, which takes a buffer for the output."""
    return partial(np.take, table, indices, axis=0, out=_output(problem), mode="clip")


@implements("embedding", variant="native", directions=("backward_weight",))
def embedding_gradient(problem: Problem, indices: Tensor, dy: Tensor) -> Call:
    """numpy.add.at of all elements by their flat positions."""
    dtable = _output(problem)
    rows, cols = dy.shape
    places, columns = np.empty((rows, cols), indices.dtype), np.arange(cols)
    starts = np.empty((rows, 1), indices.dtype)

    def call() -> Tensor:
        dtable.fill(0)
        np.multiply(indices[:, None], cols, out=starts)
        np.add(starts, columns, out=places)
        np.add.at(dtable.reshape(-1), places.reshape(-1), dy.reshape(-1))
        return dtable

    return call


@implements("gather", variant="native", dtypes=DTYPES)
def gather(problem: Problem, x: Tensor, index: Tensor) -> Call:
    """numpy.take at flat positions, without the check of the indices, which takes a buffer for the output."""
    y, positions = _output(problem), _flattener(index, x.shape[1])
    return lambda: np.take(x, positions(), out=y, mode="clip")


@implements("gather", variant="native", directions=("backward",))
def gather_gradient(problem: Problem, index: Tensor, dy: Tensor) -> Call:
    """numpy.add.at of the gradients by their flat positions."""
    dx = _output(problem)
    positions = _flattener(index, dx.shape[1])

    def call() -> Tensor:
        dx.fill(0)
        np.add.at(dx.reshape(-1), positions().reshape(-1), dy.reshape(-1))
        return dx

    return call


@implements("scatter_add", variant="native")
def scatter_add(problem: Problem, x: Tensor, index: Tensor, src: Tensor) -> Call:
    """A copy of x, and numpy.add.at by flat positions."""
    y, positions = _output(problem), _flattener(index, x.shape[1])

    def call() -> Tensor:
        np.copyto(y, x)
        np.add.at(y.reshape(-1), positions().reshape(-1), src.reshape(-1))
        return y

    return call


@implements("concat", variant="native", dtypes=DTYPES)
def concat(problem: Problem, *parts: Tensor) -> Call:
    """numpy.concatenate along the last axis."""
    return partial(np.concatenate, parts, axis=-1, out=_output(problem))


@implements("concat", variant="native", directions=("backward",), dtypes=DTYPES)
def split(problem: Problem, dy: Tensor) -> Call:
    """A copy of each part's columns."""
    pieces = np.split(dy, len(problem.op.outputs("backward")), axis=-1)
    parts = tuple(np.empty(piece.shape, dy.dtype) for piece in pieces)

    def call() -> tuple[Tensor, ...]:
        for part, piece in zip(parts, pieces, strict=True):
            np.copyto(part, piece)
        return parts

    return call
