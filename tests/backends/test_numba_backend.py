from __future__ import annotations

import numpy as np

from dlbench.backends.numba.backend import NumbaBackend
from dlbench.backends.numba.matmul import naive
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem


def test_the_naive_loops_run_on_one_thread_and_say_so() -> None:
    assert NumbaBackend("cpu", 8).environment()["threads"] == "1"


def test_sums_are_kept_in_the_arrays_own_precision() -> None:
    """In float32, 2^24 + 1 is 2^24: adding 1 twice changes nothing, where a float64 sum would show 2."""
    a = np.array([[2.0**24, 1.0, 1.0]], dtype=np.float32)
    b = np.ones((3, 1), dtype=np.float32)
    assert naive(Problem(Matmul(m=1, n=1, k=3)), a, b)()[0, 0] == 2.0**24


def test_sums_are_in_the_order_written() -> None:
    """Without fast-math, 1e20 - 1e20 + 1 is 1; any other order gives 0."""
    a, b = np.array([[1e20, -1e20, 1.0]]), np.ones((3, 1))
    assert naive(Problem(Matmul(m=1, n=1, k=3), "float64"), a, b)()[0, 0] == 1.0
