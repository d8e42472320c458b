"""The fully connected layer as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _forward(x, w, b, y):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            total = y.dtype.type(0)
            for k in range(x.shape[1]):
                total += x[i, k] * w[j, k]
            y[i, j] = total + b[j]
    return y


@njit(cache=True)
def _data_gradient(dy, w, dx):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(dx.shape[0]):
        for k in range(dx.shape[1]):
            total = dx.dtype.type(0)
            for j in range(dy.shape[1]):
                total += dy[i, j] * w[j, k]
            dx[i, k] = total
    return dx


@njit(cache=True)
def _weight_gradient(x, dy, dw):  # type: ignore[no-untyped-def]  # numba infers the types
    for j in range(dw.shape[0]):
        for k in range(dw.shape[1]):
            total = dw.dtype.type(0)
            for i in range(x.shape[0]):
                total += dy[i, j] * x[i, k]
            dw[j, k] = total
    return dw


@njit(cache=True)
def _gradients(x, dy, dw, db):  # type: ignore[no-untyped-def]  # numba infers the types
    _weight_gradient(x, dy, dw)
    for j in range(db.shape[0]):
        total = db.dtype.type(0)
        for i in range(dy.shape[0]):
            total += dy[i, j]
        db[j] = total
    return dw, db


@implements("linear", variant="naive")
def forward(problem: Problem, x: Tensor, w: Tensor, *b: Tensor) -> Call:
    """Loops over rows and features, and the sum over the input's features; a missing bias is one of zeros."""
    bias = b[0] if b else np.zeros(w.shape[0], w.dtype)
    return partial(_forward, x, w, bias, np.empty(problem.op.outputs("forward")["y"], x.dtype))


@implements("linear", variant="naive", directions=("backward_data",))
def data_gradient(problem: Problem, dy: Tensor, w: Tensor) -> Call:
    """Loops over rows and the input's features, and the sum over the output's."""
    return partial(_data_gradient, dy, w, np.empty(problem.op.outputs("backward_data")["dx"], dy.dtype))


@implements("linear", variant="naive", directions=("backward_weight",))
def weight_gradient(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """Loops over the weights, and the sum over the rows; then those of the bias."""
    outputs = [np.empty(shape, x.dtype) for shape in problem.op.outputs("backward_weight").values()]
    return partial(_gradients if len(outputs) > 1 else _weight_gradient, x, dy, *outputs)
