"""The kernels in `kernels/`: compiled by NVRTC once for each dtype, and launched as `launches.py` says."""

from __future__ import annotations

import functools
import hashlib
import math
from typing import Any

import cupy
import numpy as np

from dlbench.backends.cupy import faults
from dlbench.backends.cupy.launches import KERNELS, Variant, launch
from dlbench.errors import UnsupportedError
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = Any

KERNEL_DTYPES = ("float32", "float16")
"""Those of the kernels' dtypes that a cupy array can hold: it has no bfloat16."""


def outputs_of(problem: Problem) -> tuple[Tensor, ...]:
    """Return new arrays for the problem's outputs, in the order of the op."""
    shapes = problem.op.outputs(problem.direction)
    return tuple(cupy.empty(shape, problem.format(name)) for name, shape in shapes.items())


def only(outputs: tuple[Tensor, ...]) -> Tensor:
    """Return the output where there is one, all of them otherwise."""
    return outputs[0] if len(outputs) == 1 else outputs


def kernel_call(problem: Problem, variant: Variant, *inputs: Tensor) -> Call:
    """Compile the variant's kernel and return a call that launches it on the current stream.

    Raises UnsupportedError where there is no such kernel, or NVRTC is not installed.
    """
    plan = launch(problem, variant)
    kernel = _program(plan.source, plan.defines).get_function(plan.name)
    outputs = outputs_of(problem)
    arguments = (*inputs, *outputs, *map(_scalar, plan.scalars))
    result = only(outputs)

    def call() -> Tensor:
        kernel(plan.grid, plan.block, arguments, shared_mem=plan.shared)
        return result

    return call


def _scalar(value: float) -> np.int64 | np.float32:
    """Return the number as the kernel takes it: a `long long`, or a `float`."""
    if isinstance(value, int):
        return np.int64(value)
    if not math.isfinite(value):
        raise ValueError(f"a kernel's scalar is {value}")
    return np.float32(value)


@functools.cache
def _program(source: str, defines: tuple[str, ...]) -> Any:
    """Return the compiled file; cupy keeps it on disk under its text and options.

    The text of the headers, which cupy does not look at, is told by a digest at the end.
    """
    headers = b"".join(path.read_bytes() for path in sorted(KERNELS.glob("*.cuh")))
    text = (KERNELS / source).read_text(encoding="utf-8")
    code = f"{text}\n// headers {hashlib.sha256(headers).hexdigest()}\n"
    module = cupy.RawModule(code=code, options=("-std=c++17", f"-I{KERNELS}", *defines))
    try:
        module.compile()
    except ImportError as error:
        raise UnsupportedError(faults.missing_library(error)) from error
    return module
