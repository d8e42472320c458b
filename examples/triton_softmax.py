"""softmax as one Triton kernel, beside torch's own: `dlbench run examples/triton_softmax.yaml`.

Without a GPU Triton's interpreter runs the kernel in Python, `TRITON_INTERPRET=1 dlbench run examples/triton_softmax.yaml`:
the answer is verified all the same, the time says nothing.
"""

import os

import torch
import triton
import triton.language as tl

import dlbench
from dlbench.errors import UnsupportedError

WIDEST = 16384
"""Columns of which a program keeps a whole row in its registers and shared memory."""


@triton.jit
def softmax_kernel(x, y, columns, BLOCK: tl.constexpr):  # noqa: N803 - Triton's way to write a constant
    """One program takes one row; what lies beyond its end counts as minus infinity."""
    row = tl.program_id(0).to(tl.int64)
    place = tl.arange(0, BLOCK)
    inside = place < columns
    values = tl.load(x + row * columns + place, mask=inside, other=-float("inf")).to(tl.float32)
    powers = tl.exp(values - tl.max(values, axis=0))
    shares = powers / tl.sum(powers, axis=0)
    tl.store(y + row * columns + place, shares.to(y.dtype.element_ty), mask=inside)


@dlbench.implements("softmax", variant="triton", dtypes=("float32", "float16", "bfloat16"))
def prepare(problem: dlbench.Problem, x: torch.Tensor):
    """Allocate the output and choose the block; what is returned is what is timed."""
    if x.device.type == "cpu" and os.environ.get("TRITON_INTERPRET") != "1":
        raise UnsupportedError(
            "runs on a GPU; on a processor only in Triton's interpreter, TRITON_INTERPRET=1"
        )
    rows, columns = x.shape
    if columns > WIDEST:
        raise UnsupportedError(f"takes rows of at most {WIDEST} columns")
    y = torch.empty_like(x)
    block = triton.next_power_of_2(columns)
    warps = min(16, max(1, block // 256))

    def call() -> torch.Tensor:
        softmax_kernel[(rows,)](x, y, columns, BLOCK=block, num_warps=warps)
        return y

    return call
