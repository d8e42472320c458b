"""The columns of a convolution as array expressions."""

from __future__ import annotations

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numpy.columns import Tensor, pairs_of, views_of
from dlbench.ops.conv_geometry import Geometry
from dlbench.ops.im2col import Im2col
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


def _op(problem: Problem) -> Im2col:
    op = problem.op
    if not isinstance(op, Im2col):
        raise TypeError(f"not columns: {op!r}")
    return op


def _by_tap(conv: Geometry, columns: Tensor) -> Tensor:
    """Return a view of the columns as n × c × window × places."""
    return columns.reshape(conv.n, conv.c, *conv.window, *conv.places)


@implements("im2col", variant="native")
def forward(problem: Problem, x: Tensor) -> Call:
    """A copy of the padded images into their middle, and one of their windows."""
    op = _op(problem)
    conv, columns = op.geometry, np.empty(op.columns_shape, x.dtype)
    around = np.zeros((conv.n, conv.c, *conv.padded), x.dtype)
    inner, views, by_tap = around[conv.inner], views_of(conv, around), _by_tap(conv, columns)

    def call() -> Tensor:
        np.copyto(inner, x)
        np.copyto(by_tap, views)
        return columns

    return call


@implements("im2col", variant="native", directions=("backward",))
def backward(problem: Problem, dcolumns: Tensor) -> Call:
    """The entries of each tap, which no two windows share, added to where they came from."""
    conv = _op(problem).geometry
    dx, around = (
        np.empty(conv.x_shape, dcolumns.dtype),
        np.empty((conv.n, conv.c, *conv.padded), dcolumns.dtype),
    )
    inner, taps = around[conv.inner], pairs_of(conv, views_of(conv, around), _by_tap(conv, dcolumns))

    def call() -> Tensor:
        around.fill(0)
        for place, entries in taps:
            np.add(place, entries, out=place)
        np.copyto(dx, inner)
        return dx

    return call
