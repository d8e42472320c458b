"""The seven loops of a convolution, and of its two gradients, as the sums are written in a textbook."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.conv import Conv2d
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _forward(x, w, y, stride, pad, dilation):  # type: ignore[no-untyped-def]  # numba infers the types
    n_, k_, p_, q_ = y.shape
    _, c_, r_, s_ = w.shape
    h_, w_ = x.shape[2], x.shape[3]
    group = k_ // (x.shape[1] // c_)
    for n in range(n_):
        for k in range(k_):
            first = k // group * c_
            for p in range(p_):
                for q in range(q_):
                    total = y.dtype.type(0)
                    for c in range(c_):
                        for r in range(r_):
                            for s in range(s_):
                                i = p * stride[0] - pad[0] + r * dilation
                                j = q * stride[1] - pad[1] + s * dilation
                                if 0 <= i < h_ and 0 <= j < w_:
                                    total += x[n, first + c, i, j] * w[k, c, r, s]
                    y[n, k, p, q] = total
    return y


@njit(cache=True)
def _backward_data(dy, w, dx, stride, pad, dilation):  # type: ignore[no-untyped-def]  # numba infers the types
    n_, k_, p_, q_ = dy.shape
    _, c_, r_, s_ = w.shape
    h_, w_ = dx.shape[2], dx.shape[3]
    group = k_ // (dx.shape[1] // c_)
    dx[...] = 0
    for n in range(n_):
        for k in range(k_):
            first = k // group * c_
            for p in range(p_):
                for q in range(q_):
                    for c in range(c_):
                        for r in range(r_):
                            for s in range(s_):
                                i = p * stride[0] - pad[0] + r * dilation
                                j = q * stride[1] - pad[1] + s * dilation
                                if 0 <= i < h_ and 0 <= j < w_:
                                    dx[n, first + c, i, j] += dy[n, k, p, q] * w[k, c, r, s]
    return dx


@njit(cache=True)
def _backward_weight(x, dy, dw, stride, pad, dilation):  # type: ignore[no-untyped-def]  # numba infers the types
    n_, k_, p_, q_ = dy.shape
    _, c_, r_, s_ = dw.shape
    h_, w_ = x.shape[2], x.shape[3]
    group = k_ // (x.shape[1] // c_)
    for k in range(k_):
        first = k // group * c_
        for c in range(c_):
            for r in range(r_):
                for s in range(s_):
                    total = dw.dtype.type(0)
                    for n in range(n_):
                        for p in range(p_):
                            for q in range(q_):
                                i = p * stride[0] - pad[0] + r * dilation
                                j = q * stride[1] - pad[1] + s * dilation
                                if 0 <= i < h_ and 0 <= j < w_:
                                    total += x[n, first + c, i, j] * dy[n, k, p, q]
                    dw[k, c, r, s] = total
    return dw


LOOPS: Mapping[Direction, Any] = MappingProxyType(
    {"forward": _forward, "backward_data": _backward_data, "backward_weight": _backward_weight}
)
"""The loops of each direction over two axes: `loops(input, input, output, strides, pads, dilation)`, which is returned."""


def _call(problem: Problem, one: Tensor, other: Tensor) -> Call:
    op = problem.op
    if not isinstance(op, Conv2d):
        raise TypeError(f"not a convolution: {op!r}")
    (shape,) = op.outputs(problem.direction).values()
    output = np.empty(shape, one.dtype)
    return partial(LOOPS[problem.direction], one, other, output, op.strides, op.pads, op.dilation)


@implements("conv2d", variant="naive")
def forward(problem: Problem, x: Tensor, w: Tensor) -> Call:
    """Loops over n, k, p, q, and the sum over c, r, s."""
    return _call(problem, x, w)


@implements("conv2d", variant="naive", directions=("backward_data",))
def backward_data(problem: Problem, dy: Tensor, w: Tensor) -> Call:
    """The forward loops, each output's gradient added to the pixels it came from."""
    return _call(problem, dy, w)


@implements("conv2d", variant="naive", directions=("backward_weight",))
def backward_weight(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """Loops over the filter's taps, and the sum over images and outputs."""
    return _call(problem, x, dy)
