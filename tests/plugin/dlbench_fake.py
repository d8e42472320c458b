"""A third-party backend for the tests: it computes matmul rightly, and in every wrong way there is."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

import numpy as np

from dlbench.backends.backend import Backend, BackendSpec, Implementation, Tensor
from dlbench.errors import UnsupportedError
from dlbench.ops.dtypes import Array
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64")

SPEC = BackendSpec(
    name="fake",
    module="dlbench_fake",
    factory="FakeBackend",
    requires="numpy",
    install="pip install numpy",
    variants={
        "right": "numpy's product",
        "slow": "numpy's product after a nap",
        "wrong": "one element off",
        "stale": "computes once and returns the same memory ever after",
        "lazy": "leaves a row of its output to whatever was in memory",
        "shape": "returns the transpose",
        "retyped": "returns another dtype",
        "mutates": "writes into its input",
        "raises": "raises an error",
        "refuses": "says that it cannot",
        "crashes": "ends its process with SIGSEGV",
        "exits": "ends its process with a status",
        "hangs": "never returns",
        "hogs": "allocates more than there is",
        "crashes_later": "ends its process after it was verified",
        "poisons": "leaves the device's context unusable",
    },
)
ABSENT = BackendSpec(
    name="absent",
    module="dlbench_absent_framework",
    factory="AbsentBackend",
    requires="dlbench_absent_framework",
    install="pip install dlbench-absent-framework",
    variants={"library": "a framework that is not installed"},
)


class FakeBackend(Backend):
    spec = SPEC

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        return IMPLEMENTATIONS

    def environment(self) -> dict[str, str]:
        return {"fake": "1.0"}

    def tensor(self, values: Array, dtype: str) -> Tensor:
        return values.astype(dtype)

    def host(self, tensor: Tensor) -> Array:
        return np.asarray(tensor, dtype=np.float64)

    def dtype(self, tensor: Tensor) -> str:
        return str(tensor.dtype)

    def poison(self, tensor: Tensor) -> None:
        tensor.fill(np.nan)

    def is_fatal(self, error: Exception) -> bool:
        return "illegal memory access" in str(error)


def product(problem: Problem, a: Any, b: Any) -> Call:
    return lambda: a @ b


def slow(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Tensor:
        time.sleep(0.005)
        return a @ b

    return call


def wrong(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Tensor:
        c = a @ b
        c[-1, -1] += 1
        return c

    return call


def stale(problem: Problem, a: Any, b: Any) -> Call:
    c = a @ b
    return lambda: c


def lazy(problem: Problem, a: Any, b: Any) -> Call:
    c = np.zeros((a.shape[0], b.shape[1]), a.dtype)

    def call() -> Tensor:
        np.matmul(a[:-1], b, out=c[:-1])
        return c

    return call


def transposed(problem: Problem, a: Any, b: Any) -> Call:
    return lambda: (a @ b).T.copy()


def retyped(problem: Problem, a: Any, b: Any) -> Call:
    return lambda: (a @ b).astype("float16")


def mutates(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Tensor:
        c = a @ b
        a[0, 0] += 1
        return c

    return call


def raises(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Tensor:
        raise RuntimeError("no kernel image [is] available\nsecond line")

    return call


def refuses(problem: Problem, a: Any, b: Any) -> Call:
    raise UnsupportedError("only squares")


def crashes(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Tensor:
        os.kill(os.getpid(), signal.SIGSEGV)
        return None

    return call


def exits(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Tensor:
        os.write(2, b"libfake: assertion failed\n")
        os._exit(3)

    return call


def hangs(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Tensor:
        while True:
            time.sleep(1)

    return call


def hogs(problem: Problem, a: Any, b: Any) -> Call:
    kept: list[Tensor] = []

    def call() -> Tensor:
        while True:
            kept.append(np.empty(2**28))  # mapped, not touched: the limit counts it, the machine does not

    return call


def crashes_later(problem: Problem, a: Any, b: Any) -> Call:
    calls = iter(range(10**9))

    def call() -> Tensor:
        if next(calls) > 50:
            os.kill(os.getpid(), signal.SIGABRT)
        time.sleep(0.001)
        return a @ b

    return call


def poisons(problem: Problem, a: Any, b: Any) -> Call:
    def call() -> Tensor:
        raise RuntimeError("CUDA error: an illegal memory access was encountered\nCompile with ...")

    return call


WAYS = {
    "right": product,
    "slow": slow,
    "wrong": wrong,
    "stale": stale,
    "lazy": lazy,
    "shape": transposed,
    "retyped": retyped,
    "mutates": mutates,
    "raises": raises,
    "refuses": refuses,
    "crashes": crashes,
    "exits": exits,
    "hangs": hangs,
    "hogs": hogs,
    "crashes_later": crashes_later,
    "poisons": poisons,
}
IMPLEMENTATIONS = tuple(
    Implementation("matmul", name, ("forward",), DTYPES, way) for name, way in WAYS.items()
)
