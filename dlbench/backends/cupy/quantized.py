"""Matrix products of 8-bit numbers as array operations on a GPU."""

from __future__ import annotations

from dlbench.backends.backend import implements
from dlbench.backends.cupy.matmul import Product, product_call
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.errors import UnsupportedError
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

INT8_MULTIPLE = 4
"""What the rows of int8 matrices must be multiples of, in elements (cuBLAS, cublasGemmEx with CUBLAS_COMPUTE_32I)."""


@implements("int8_matmul", variant="library", dtypes=("int8",))
def int8(problem: Problem, a: Tensor, b: Tensor) -> Call:
    """cuBLAS, added up in int32.

    Raises UnsupportedError for rows that cuBLAS does not take.
    """
    (m, k), n = a.shape, b.shape[1]
    if k % INT8_MULTIPLE or n % INT8_MULTIPLE:
        raise UnsupportedError(
            f"{problem.label}: cuBLAS takes int8 matrices whose n and k are multiples of {INT8_MULTIPLE}"
        )
    return product_call(Product(m, n, k), problem.dtype, a, b, only(outputs_of(problem)))
