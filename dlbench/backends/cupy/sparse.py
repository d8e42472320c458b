"""Products of a sparse and a dense matrix as array operations on a GPU."""

from __future__ import annotations

from dlbench.backends.backend import implements
from dlbench.backends.cupy.matmul import LIBRARY_DTYPES, Product, product_call
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


@implements("sparse24", variant="library", dtypes=LIBRARY_DTYPES)
def dense(problem: Problem, a: Tensor, b: Tensor) -> Call:
    """The dense product by cuBLAS, zeros and all."""
    (m, k), n = a.shape, b.shape[1]
    return product_call(Product(m, n, k), problem.dtype, a, b, only(outputs_of(problem)))
