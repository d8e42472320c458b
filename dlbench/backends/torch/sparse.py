"""Products of a sparse and a dense matrix through torch."""

from __future__ import annotations

import warnings
from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.backends.torch.matmul import DTYPES
from dlbench.errors import UnsupportedError
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

HALVES = ("float16", "bfloat16")
AMPERE = 8
"""The compute capability's major number of the first GPUs with sparse tensor cores (NVIDIA A100 whitepaper, 2020)."""


@implements(
    "spmm",
    variant="library",
    dtypes=("float32", "float64", *HALVES),
    uncompiled="torch.compile takes no sparse tensors",
)
def compressed_rows(
    problem: Problem, values: torch.Tensor, columns: torch.Tensor, starts: torch.Tensor, b: torch.Tensor
) -> Call:
    """A CSR tensor times b, by MKL on a CPU and cuSPARSE (hipSPARSE) on a GPU.

    Raises UnsupportedError for 16 bits on a CPU.
    """
    if values.device.type == "cpu" and problem.dtype in HALVES:
        raise UnsupportedError(
            f"no {problem.dtype} on a cpu: MKL's sparse products are of float32 and float64"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that CSR tensors are in beta state
        a = torch.sparse_csr_tensor(starts, columns, values, (starts.numel() - 1, b.shape[0]))
    return partial(torch.matmul, a, b)


@implements("sparse24", variant="library", dtypes=HALVES)
def semi_structured(problem: Problem, a: torch.Tensor, b: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The product by sparse tensor cores (cuSPARSELt or CUTLASS), a compressed while it is prepared.

    Raises UnsupportedError, with the reason, where there are none, or where a's rows and columns do not suit them.
    """
    _need_sparse_tensor_cores(a.device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # says that it is a prototype
        try:
            compressed = torch.sparse.to_sparse_semi_structured(a)
        except RuntimeError as error:
            if "not supported" not in str(error):
                raise
            raise UnsupportedError(f"torch compresses no such matrix: {error}") from error
    return partial(torch.mm, compressed, b)


def _need_sparse_tensor_cores(device: torch.device) -> None:
    if device.type != "cuda" or torch.version.hip:
        where = "an AMD GPU" if torch.version.hip and device.type == "cuda" else device.type
        raise UnsupportedError(f"no 2:4 sparsity on {where}: NVIDIA's sparse tensor cores compute it")
    major, minor = torch.cuda.get_device_capability(device)
    if major < AMPERE:
        raise UnsupportedError(
            f"no 2:4 sparsity on {torch.cuda.get_device_name(device)} (compute capability {major}.{minor}): "
            "sparse tensor cores came with 8.0"
        )


@implements("sparse24", variant="native", dtypes=DTYPES)
def dense(problem: Problem, a: torch.Tensor, b: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """The dense product, zeros and all."""
    return partial(torch.mm, a, b)
