"""Convolutions over one and three axes as the loops of a textbook; over one axis they are those over two, of one row."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.backends.numba import conv
from dlbench.ops.conv_base import Convolution
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward_data", "backward_weight")


@njit(cache=True)
def _forward(x, w, y, stride, pad, dilation):  # type: ignore[no-untyped-def]  # noqa: C901 - the nine loops
    n_, k_, o_, p_, q_ = y.shape
    _, c_, t_, r_, s_ = w.shape
    _, c_in, d_, h_, w_ = x.shape
    group = k_ // (c_in // c_)
    for n in range(n_):
        for k in range(k_):
            first = k // group * c_
            for o in range(o_):
                for p in range(p_):
                    for q in range(q_):
                        total = y.dtype.type(0)
                        for c in range(c_):
                            for t in range(t_):
                                for r in range(r_):
                                    for s in range(s_):
                                        z = o * stride[0] - pad[0] + t * dilation
                                        i = p * stride[1] - pad[1] + r * dilation
                                        j = q * stride[2] - pad[2] + s * dilation
                                        if 0 <= z < d_ and 0 <= i < h_ and 0 <= j < w_:
                                            total += x[n, first + c, z, i, j] * w[k, c, t, r, s]
                        y[n, k, o, p, q] = total
    return y


@njit(cache=True)
def _backward_data(dy, w, dx, stride, pad, dilation):  # type: ignore[no-untyped-def]  # noqa: C901 - the nine loops
    n_, k_, o_, p_, q_ = dy.shape
    _, c_, t_, r_, s_ = w.shape
    _, c_in, d_, h_, w_ = dx.shape
    group = k_ // (c_in // c_)
    dx[...] = 0
    for n in range(n_):
        for k in range(k_):
            first = k // group * c_
            for o in range(o_):
                for p in range(p_):
                    for q in range(q_):
                        for c in range(c_):
                            for t in range(t_):
                                for r in range(r_):
                                    for s in range(s_):
                                        z = o * stride[0] - pad[0] + t * dilation
                                        i = p * stride[1] - pad[1] + r * dilation
                                        j = q * stride[2] - pad[2] + s * dilation
                                        if 0 <= z < d_ and 0 <= i < h_ and 0 <= j < w_:
                                            dx[n, first + c, z, i, j] += dy[n, k, o, p, q] * w[k, c, t, r, s]
    return dx


@njit(cache=True)
def _backward_weight(x, dy, dw, stride, pad, dilation):  # type: ignore[no-untyped-def]  # noqa: C901 - the nine loops
    n_, k_, o_, p_, q_ = dy.shape
    _, c_, t_, r_, s_ = dw.shape
    _, c_in, d_, h_, w_ = x.shape
    group = k_ // (c_in // c_)
    for k in range(k_):
        first = k // group * c_
        for c in range(c_):
            for t in range(t_):
                for r in range(r_):
                    for s in range(s_):
                        total = dw.dtype.type(0)
                        for n in range(n_):
                            for o in range(o_):
                                for p in range(p_):
                                    for q in range(q_):
                                        z = o * stride[0] - pad[0] + t * dilation
                                        i = p * stride[1] - pad[1] + r * dilation
                                        j = q * stride[2] - pad[2] + s * dilation
                                        if 0 <= z < d_ and 0 <= i < h_ and 0 <= j < w_:
                                            total += x[n, first + c, z, i, j] * dy[n, k, o, p, q]
                        dw[k, c, t, r, s] = total
    return dw


LOOPS: Mapping[Direction, Any] = MappingProxyType(
    {"forward": _forward, "backward_data": _backward_data, "backward_weight": _backward_weight}
)


def _in_one_row(loops: Any, one: Tensor, other: Tensor, output: Tensor, *sizes: Any) -> Tensor:
    """Run the loops over two axes on views of an axis more, and return the output as it was given."""
    loops(one[:, :, None], other[:, :, None], output[:, :, None], *sizes)
    return output


def loop_call(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """Return a call of the loops for a convolution over any number of axes up to three, plain or transposed.

    The tensors come in the order of the op.
    """
    op = problem.op
    if not isinstance(op, Convolution):
        raise TypeError(f"not a convolution: {op!r}")
    plain, shapes = op.plain(problem.direction), op.geometry
    (shape,) = op.outputs(problem.direction).values()
    given = (*op.operands(problem.direction, one, other), np.empty(shape, one.dtype))
    strides, pads, dilation = shapes.strides, shapes.pads, shapes.dilation
    match len(strides):
        case 1:
            sizes = (1, *strides), (0, *pads), dilation
            return partial(_in_one_row, conv.LOOPS[plain], *given, *sizes)
        case 2:
            return partial(conv.LOOPS[plain], *given, strides, pads, dilation)
        case _:
            return partial(LOOPS[plain], *given, strides, pads, dilation)


@implements("conv1d", variant="naive", directions=DIRECTIONS)
@implements("conv3d", variant="naive", directions=DIRECTIONS)
def naive(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """Loops over the outputs and the sum behind each; for the data gradient, over the outputs that gave it."""
    return loop_call(problem, one, other)
