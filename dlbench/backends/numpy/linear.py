"""The fully connected layer as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("linear", variant="library")
def forward(problem: Problem, x: Tensor, w: Tensor, *b: Tensor) -> Call:
    """A product by BLAS; the bias is added in a pass of its own."""
    turned = w.T
    y = np.empty(problem.op.outputs("forward")["y"], x.dtype)

    def call() -> Tensor:
        np.matmul(x, turned, out=y)
        for bias in b:
            np.add(y, bias, out=y)
        return y

    return call


@implements("linear", variant="library", directions=("backward_data",))
def data_gradient(problem: Problem, dy: Tensor, w: Tensor) -> Call:
    """A product by BLAS."""
    dx = np.empty(problem.op.outputs("backward_data")["dx"], dy.dtype)
    return lambda: np.matmul(dy, w, out=dx)


@implements("linear", variant="library", directions=("backward_weight",))
def weight_gradient(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """A product by BLAS, and the sums of the columns of dy where there is a bias."""
    dw, *sums = (np.empty(shape, x.dtype) for shape in problem.op.outputs("backward_weight").values())
    turned = dy.T

    def call() -> Any:
        np.matmul(turned, x, out=dw)
        for db in sums:
            np.sum(dy, axis=0, out=db)
        return (dw, *sums) if sums else dw

    return call
