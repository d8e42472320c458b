"""Matrix products by cuBLAS and by kernels of one's own."""

from __future__ import annotations

import functools
import importlib
from dataclasses import dataclass
from typing import Any

import cupy
import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.cupy import faults
from dlbench.backends.cupy.programs import KERNEL_DTYPES, Tensor, kernel_call, only, outputs_of
from dlbench.errors import UnsupportedError
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

LIBRARY_DTYPES = ("float32", "float64", "tf32", "float16")
COMPUTE = {
    "float32": "CUBLAS_COMPUTE_32F",
    "float64": "CUBLAS_COMPUTE_64F",
    "tf32": "CUBLAS_COMPUTE_32F_FAST_TF32",
    "float16": "CUBLAS_COMPUTE_32F",
    "int8": "CUBLAS_COMPUTE_32I",
}
"""In what cuBLAS multiplies and adds: TF32 only where it is asked for, float16 added up in float32, and int8 in int32
(cuBLAS, cublasComputeType_t)."""
STORED = {
    "float32": "CUDA_R_32F",
    "float64": "CUDA_R_64F",
    "tf32": "CUDA_R_32F",
    "float16": "CUDA_R_16F",
    "int8": "CUDA_R_8I",
}
INT32 = 10
"""CUDA_R_32I of CUDA's library_types.h, which cupy has no name for: what products of int8 matrices are put out in."""
FACTORS = dict.fromkeys(STORED, np.float32) | {"float64": np.float64, "int8": np.int32}
"""The numbers that alpha and beta are (cublasGemmEx, table of supported types)."""
MOST_EXTENT = 2**31 - 1
"""cuBLAS counts rows and columns in 32 bits."""


def cublas() -> Any:
    """Return cupy's binding of cuBLAS.

    Raises UnsupportedError, with the package that has it, where the library is missing.
    """
    try:
        return importlib.import_module("cupy_backends.cuda.libs.cublas")
    except ImportError as error:
        raise UnsupportedError(faults.missing_library(error)) from error


@functools.cache
def _factors(alpha: float, beta: float, dtype: str) -> np.ndarray[tuple[int], np.dtype[Any]]:
    """Return alpha and beta as cuBLAS reads them; kept for good, because it is given their address at each call."""
    return np.array([alpha, beta], FACTORS[dtype])


@dataclass(frozen=True, slots=True)
class Product:
    """The sizes of `batch` products c = alpha · a b + beta · c, with a of m × k and b of k × n, either stored transposed."""

    m: int
    n: int
    k: int
    batch: int = 1
    trans_a: bool = False
    trans_b: bool = False
    alpha: float = 1.0
    beta: float = 0.0


def product_call(sizes: Product, dtype: str, a: Tensor, b: Tensor, c: Tensor) -> Call:
    """Return a call of cublasGemmStridedBatchedEx (cublasGemmEx for a single product) on contiguous arrays.

    Called directly, because cupy.matmul copies a transposed operand of a batch each time, and leaves TF32 out there.
    cuBLAS takes matrices column by column: what is stored by rows is the transpose to it, so that it is asked for
    cᵀ = bᵀ aᵀ. cuBLAS's default lets split sums of float16 meet in float16. Where beta is not 0, c is read as well: what
    is to be added must be there before each call. Raises UnsupportedError where an extent exceeds 32 bits.
    """
    m, n, k, batch = sizes.m, sizes.n, sizes.k, sizes.batch
    if max(m, n, k, batch) > MOST_EXTENT:
        raise UnsupportedError(f"cuBLAS counts rows and columns to {MOST_EXTENT}")
    library, handle = cublas(), cupy.cuda.device.get_cublas_handle()
    kind, compute = getattr(cupy.cuda.runtime, STORED[dtype]), getattr(library, COMPUTE[dtype])
    result = INT32 if dtype == "int8" else kind
    factors = _factors(sizes.alpha, sizes.beta, dtype)
    alpha, beta = factors.ctypes.data, factors.ctypes.data + factors.itemsize
    op_b, ld_b = (library.CUBLAS_OP_T, k) if sizes.trans_b else (library.CUBLAS_OP_N, n)
    op_a, ld_a = (library.CUBLAS_OP_T, m) if sizes.trans_a else (library.CUBLAS_OP_N, k)
    default = library.CUBLAS_GEMM_DEFAULT

    def single() -> Tensor:
        library.gemmEx(
            handle, op_b, op_a, n, m, k,
            alpha, b.data.ptr, kind, ld_b, a.data.ptr, kind, ld_a,
            beta, c.data.ptr, result, n, compute, default,
        )  # fmt: skip
        return c

    def batched() -> Tensor:
        library.gemmStridedBatchedEx(
            handle, op_b, op_a, n, m, k,
            alpha, b.data.ptr, kind, ld_b, k * n, a.data.ptr, kind, ld_a, m * k,
            beta, c.data.ptr, result, n, m * n, batch, compute, default,
        )  # fmt: skip
        return c

    return single if batch == 1 else batched


@implements("matmul", variant="library", dtypes=LIBRARY_DTYPES)
def library(problem: Problem, a: Tensor, b: Tensor, *c0: Tensor) -> Call:
    """cuBLAS, told the operands' storage and in what to compute; it adds to a copy of c0, which each call makes."""
    op = problem.op
    if not isinstance(op, Matmul):
        raise TypeError(f"not a matrix product: {op!r}")
    sizes = Product(op.m, op.n, op.k, op.batch, op.trans_a, op.trans_b, op.alpha, op.beta)
    c = only(outputs_of(problem))
    multiply = product_call(sizes, problem.dtype, a, b, c)
    return added_to(c, c0[0], multiply) if c0 else multiply


def added_to(c: Tensor, start: Tensor, multiply: Call) -> Call:
    """Return a call that sets c to `start`, repeated where it has fewer rows, before it multiplies."""

    def call() -> Tensor:
        cupy.copyto(c, start)
        return multiply()

    return call


@implements("matmul", variant="naive", dtypes=KERNEL_DTYPES)
def naive(problem: Problem, *operands: Tensor) -> Call:
    """A thread for each element of the product."""
    return kernel_call(problem, "naive", *operands)


@implements("matmul", variant="tiled", dtypes=KERNEL_DTYPES)
def tiled(problem: Problem, *operands: Tensor) -> Call:
    """A block for each tile of the product, its operands' tiles in shared memory."""
    return kernel_call(problem, "tiled", *operands)
