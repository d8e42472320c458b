"""Matrix products of 8-bit numbers through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.errors import UnsupportedError
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

INT8_ROWS = 17
INT8_MULTIPLE = 8
"""The fewest rows of a, and what its columns and those of b must be multiples of, where torch gives int8 to cuBLASLt
(torch._int_mm)."""
FP8_MULTIPLE = 16
"""What the columns of a and of c must be multiples of where torch gives FP8 to cuBLASLt (torch._scaled_mm)."""
FP8_CAPABILITY = (8, 9)
"""The compute capability of the first GPUs with FP8 (NVIDIA Ada GPU architecture whitepaper, 2022)."""


@implements("int8_matmul", variant="library", dtypes=("int8",))
def int8(problem: Problem, a: torch.Tensor, b: torch.Tensor) -> Call:
    """torch._int_mm: oneDNN where the CPU has instructions for it, cuBLASLt on a GPU.

    Raises UnsupportedError for extents that torch does not take on a GPU.
    """
    (m, k), n = a.shape, b.shape[1]
    if a.is_cuda and (m < INT8_ROWS or k % INT8_MULTIPLE or n % INT8_MULTIPLE):
        raise UnsupportedError(
            f"{problem.label}: on a GPU torch._int_mm takes at least {INT8_ROWS} rows, and columns (n and k) in "
            f"multiples of {INT8_MULTIPLE}"
        )
    return partial(torch._int_mm, a, b)  # noqa: SLF001 - it has no other name


@implements("fp8_matmul", variant="library", dtypes=("float8_e4m3fn",))
def fp8(
    problem: Problem, a: torch.Tensor, b: torch.Tensor, scale_a: torch.Tensor, scale_b: torch.Tensor
) -> Call:
    """torch._scaled_mm: cuBLASLt on a GPU, which then promotes its sums to float32 on the way (no fast accumulation).

    Raises UnsupportedError for a GPU without FP8, and for extents that torch does not take on a GPU.
    """
    if a.is_cuda:
        _need_fp8(problem, a, b)
    scaled = torch._scaled_mm  # noqa: SLF001 - it has no other name before torch 2.10
    return partial(scaled, a, b.mT, scale_a, scale_b, out_dtype=torch.bfloat16)


def _need_fp8(problem: Problem, a: torch.Tensor, b: torch.Tensor) -> None:
    capability = torch.cuda.get_device_capability(a.device)
    if not torch.version.hip and capability < FP8_CAPABILITY:
        major, minor = capability
        raise UnsupportedError(
            f"no fp8 on {torch.cuda.get_device_name(a.device)} (compute capability {major}.{minor}): it came with 8.9"
        )
    if a.shape[1] % FP8_MULTIPLE or b.shape[0] % FP8_MULTIPLE:
        raise UnsupportedError(
            f"{problem.label}: on a GPU torch._scaled_mm takes n and k in multiples of {FP8_MULTIPLE}"
        )


@implements("fp8_matmul", variant="native", dtypes=("float8_e4m3fn",))
def fp8_widened(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    a: torch.Tensor,
    b: torch.Tensor,
    scale_a: torch.Tensor,
    scale_b: torch.Tensor,
) -> Call:
    """Both matrices converted to float32 at each call, their product, and the scales: right on any device, and slow."""
    turned = b.mT

    def call() -> torch.Tensor:
        product = torch.mm(a.float(), turned.float())
        return product.mul_(scale_a).mul_(scale_b).to(torch.bfloat16)

    return call
