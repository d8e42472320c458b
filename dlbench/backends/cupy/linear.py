"""The fully connected layer as array operations on a GPU."""

from __future__ import annotations

from typing import Any

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.matmul import LIBRARY_DTYPES, Product, added_to, product_call
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


@implements("linear", variant="library", dtypes=LIBRARY_DTYPES)
def forward(problem: Problem, x: Tensor, w: Tensor, *b: Tensor) -> Call:
    """cuBLAS, which adds to an output that each call fills with the bias."""
    (n, features), outputs = x.shape, w.shape[0]
    y = only(outputs_of(problem))
    sizes = Product(n, outputs, features, trans_b=True, beta=1.0 if b else 0.0)
    multiply = product_call(sizes, problem.dtype, x, w, y)
    return added_to(y, b[0], multiply) if b else multiply


@implements("linear", variant="library", directions=("backward_data",), dtypes=LIBRARY_DTYPES)
def data_gradient(problem: Problem, dy: Tensor, w: Tensor) -> Call:
    """cuBLAS."""
    (n, outputs), features = dy.shape, w.shape[1]
    return product_call(Product(n, features, outputs), problem.dtype, dy, w, only(outputs_of(problem)))


@implements("linear", variant="library", directions=("backward_weight",), dtypes=LIBRARY_DTYPES)
def weight_gradient(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """cuBLAS, and cupy.sum over the rows of dy, which adds float16 up in float32, where there is a bias."""
    (n, features), outputs = x.shape, dy.shape[1]
    dw, *sums = outputs_of(problem)
    multiply = product_call(Product(outputs, features, n, trans_a=True), problem.dtype, dy, x, dw)

    def call() -> Any:
        multiply()
        for db in sums:
            cupy.sum(dy, axis=0, out=db)
        return (dw, *sums) if sums else dw

    return call
