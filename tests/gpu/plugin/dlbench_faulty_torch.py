"""The faults through torch."""

from __future__ import annotations

from typing import Any, ClassVar

import dlbench_faulty
import torch

from dlbench.backends.backend import BackendSpec, Implementation
from dlbench.backends.torch.backend import TorchBackend
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

GIB = 2**30
FOR_EVER = 2**60
"""Cycles: a century at 0.3 GHz, a decade at 3 GHz."""


class FaultyTorch(TorchBackend):
    spec: ClassVar[BackendSpec] = dlbench_faulty.TORCH

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        return IMPLEMENTATIONS


def right(problem: Problem, a: Any, b: Any) -> Call:
    return lambda: a @ b


def hogs(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Any:
        kept = []
        for _ in range(10_000):
            kept.append(torch.empty(GIB, dtype=torch.uint8, device=a.device))  # noqa: PERF401 - one by one
        return a @ b

    return call


def poisons(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Any:
        a[torch.full((1,), 10**6, device=a.device)].sum().item()  # no such row: an assertion in the kernel
        return a @ b

    return call


def hangs(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Any:
        torch.cuda._sleep(FOR_EVER)  # type: ignore[no-untyped-call]
        return a @ b

    return call


WAYS = {"right": right, "hogs": hogs, "poisons": poisons, "hangs": hangs}
IMPLEMENTATIONS = tuple(
    Implementation("matmul", name, ("forward",), ("float32",), way) for name, way in WAYS.items()
)
