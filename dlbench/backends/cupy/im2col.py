"""The columns of a convolution as array operations on a GPU."""

from __future__ import annotations

import cupy
import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.ops.conv_geometry import Geometry
from dlbench.ops.im2col import Im2col
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

LIBRARY_DTYPES = ("float32", "float64", "float16")


def _geometry(problem: Problem) -> Geometry:
    op = problem.op
    if not isinstance(op, Im2col):
        raise TypeError(f"not columns: {op!r}")
    return op.geometry


def _by_tap(conv: Geometry, columns: Tensor) -> Tensor:
    """Return a view of the columns as n × c × window × places."""
    return columns.reshape(conv.n, conv.c, *conv.window, *conv.places)


def _windows(conv: Geometry, around: Tensor) -> Tensor:
    """Return padded images as n × c × window × places, without a copy: what overlaps is the same memory."""
    outer, inner = around.strides[:2], around.strides[2:]
    taps = (conv.dilation * step for step in inner)
    places = (stride * step for stride, step in zip(conv.strides, inner, strict=True))
    shape = (conv.n, conv.c, *conv.window, *conv.places)
    return cupy.lib.stride_tricks.as_strided(around, shape, (*outer, *taps, *places))


@implements("im2col", variant="library", dtypes=LIBRARY_DTYPES)
def forward(problem: Problem, x: Tensor) -> Call:
    """A copy of the images into the middle of padded ones, and one of their windows."""
    conv = _geometry(problem)
    columns, around = only(outputs_of(problem)), cupy.zeros((conv.n, conv.c, *conv.padded), x.dtype)
    inner, windows, by_tap = around[conv.inner], _windows(conv, around), _by_tap(conv, columns)

    def call() -> Tensor:
        cupy.copyto(inner, x)
        cupy.copyto(by_tap, windows)
        return columns

    return call


@implements("im2col", variant="library", directions=("backward",), dtypes=LIBRARY_DTYPES)
def backward(problem: Problem, dcolumns: Tensor) -> Call:
    """The entries of each tap, which no two windows share, added to where they came from."""
    conv = _geometry(problem)
    dx, around = only(outputs_of(problem)), cupy.empty((conv.n, conv.c, *conv.padded), dcolumns.dtype)
    inner, by_tap = around[conv.inner], _by_tap(conv, dcolumns)
    taps = [(around[conv.met(at)], by_tap[(slice(None), slice(None), *at)]) for at in np.ndindex(conv.window)]

    def call() -> Tensor:
        around.fill(0)
        for place, entries in taps:
            cupy.add(place, entries, out=place)
        cupy.copyto(dx, inner)
        return dx

    return call
