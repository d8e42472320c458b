"""The faults through cupy."""

from __future__ import annotations

from typing import Any, ClassVar

import cupy
import dlbench_faulty
import numpy as np

from dlbench.backends.backend import BackendSpec, Implementation
from dlbench.backends.cupy.backend import CupyBackend
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

GIB = 2**30
POKE = 'extern "C" __global__ void poke(int *nowhere) { *nowhere = 1; }'
SPIN = 'extern "C" __global__ void spin(const volatile float *never) { while (*never == 0) {} }'
NOWHERE = np.uint64(4)
"""An address that is aligned and nobody's."""


class FaultyCupy(CupyBackend):
    spec: ClassVar[BackendSpec] = dlbench_faulty.CUPY

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        return IMPLEMENTATIONS


def right(problem: Problem, a: Any, b: Any) -> Call:
    return lambda: a @ b


def hogs(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Any:
        kept = []
        for _ in range(10_000):
            kept.append(cupy.empty(GIB, cupy.uint8))  # noqa: PERF401 - one by one
        return a @ b

    return call


def poisons(problem: Problem, a: Any, b: Any) -> Call:
    kernel = cupy.RawKernel(POKE, "poke")

    def call() -> Any:
        kernel((1,), (1,), (NOWHERE,))
        return a @ b

    return call


def hangs(problem: Problem, a: Any, b: Any) -> Call:
    kernel, never = cupy.RawKernel(SPIN, "spin"), cupy.zeros(1, cupy.float32)

    def call() -> Any:
        kernel((1,), (1,), (never,))
        return a @ b

    return call


WAYS = {"right": right, "hogs": hogs, "poisons": poisons, "hangs": hangs}
IMPLEMENTATIONS = tuple(
    Implementation("matmul", name, ("forward",), ("float32",), way) for name, way in WAYS.items()
)
