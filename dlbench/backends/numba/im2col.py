"""The columns of a convolution as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.im2col import Im2col
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _gather(x, columns, stride, pad, dilation):  # type: ignore[no-untyped-def]  # numba infers the types
    n_, c_, r_, s_, p_, q_ = columns.shape
    h_, w_ = x.shape[2], x.shape[3]
    for n in range(n_):
        for c in range(c_):
            for r in range(r_):
                for s in range(s_):
                    for p in range(p_):
                        for q in range(q_):
                            i = p * stride[0] - pad[0] + r * dilation
                            j = q * stride[1] - pad[1] + s * dilation
                            inside = 0 <= i < h_ and 0 <= j < w_
                            columns[n, c, r, s, p, q] = x[n, c, i, j] if inside else 0


@njit(cache=True)
def _scatter(columns, dx, stride, pad, dilation):  # type: ignore[no-untyped-def]  # numba infers the types
    n_, c_, r_, s_, p_, q_ = columns.shape
    h_, w_ = dx.shape[2], dx.shape[3]
    dx[...] = 0
    for n in range(n_):
        for c in range(c_):
            for r in range(r_):
                for s in range(s_):
                    for p in range(p_):
                        for q in range(q_):
                            i = p * stride[0] - pad[0] + r * dilation
                            j = q * stride[1] - pad[1] + s * dilation
                            if 0 <= i < h_ and 0 <= j < w_:
                                dx[n, c, i, j] += columns[n, c, r, s, p, q]


def _returning(output: Tensor, loops: Any, *arguments: Any) -> Tensor:
    loops(*arguments)
    return output


def _op(problem: Problem) -> Im2col:
    op = problem.op
    if not isinstance(op, Im2col):
        raise TypeError(f"not columns: {op!r}")
    return op


@implements("im2col", variant="naive")
def forward(problem: Problem, x: Tensor) -> Call:
    """Loops over the entries of the columns, each looked up."""
    op = _op(problem)
    conv, columns = op.geometry, np.empty(op.columns_shape, x.dtype)
    by_tap = columns.reshape(op.n, op.c, *conv.window, *conv.places)
    return partial(_returning, columns, _gather, x, by_tap, conv.strides, conv.pads, conv.dilation)


@implements("im2col", variant="naive", directions=("backward",))
def backward(problem: Problem, dcolumns: Tensor) -> Call:
    """The same loops, each entry added to the pixel that it came from."""
    op = _op(problem)
    conv, dx = op.geometry, np.empty(op.geometry.x_shape, dcolumns.dtype)
    by_tap = dcolumns.reshape(op.n, op.c, *conv.window, *conv.places)
    return partial(_returning, dx, _scatter, by_tap, dx, conv.strides, conv.pads, conv.dilation)
