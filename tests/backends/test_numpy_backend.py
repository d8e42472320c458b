from __future__ import annotations

import gc

import numpy as np
from threadpoolctl import threadpool_info

from dlbench.backends.numpy.backend import NumpyBackend
from dlbench.backends.numpy.conv import forward
from dlbench.ops.conv import Conv2d
from dlbench.ops.problem import Problem


def blas_threads() -> int:
    (threads,) = (
        p["num_threads"] for p in threadpool_info() if "numpy" in p["filepath"] and p["user_api"] == "blas"
    )
    return int(threads)


def test_blas_is_limited_as_long_as_the_backend_lives() -> None:
    before = blas_threads()
    backend = NumpyBackend("cpu", 1)
    assert blas_threads() == 1
    assert backend.environment()["blas threads"] == "1"
    del backend
    gc.collect()
    assert blas_threads() == before


def test_the_environment_names_blas_with_its_version_and_kernels() -> None:
    name, version, *kernels = NumpyBackend("cpu", 1).environment()["blas"].split()
    assert name == "openblas"
    assert version[0].isdigit()
    assert kernels


def test_no_other_thread_pool_is_touched() -> None:
    def others() -> list[tuple[str, int]]:
        return sorted((p["filepath"], p["num_threads"]) for p in threadpool_info() if p["user_api"] != "blas")

    before = others()
    backend = NumpyBackend("cpu", 1)
    assert others() == before
    del backend


def test_a_one_by_one_convolution_gathers_no_columns() -> None:
    """Its image is its own matrix of columns: the prepared call holds no buffer but the output."""
    pointwise, strided = (Conv2d(c=8, h=16, w=16, k=1, r=1, s=1, stride=stride) for stride in (1, 2))
    held = {op.stride: buffers(op) for op in (pointwise, strided)}
    assert held == {1: 0, 2: 8 * 16 * 16 + 8 * 8 * 8}


def buffers(op: Conv2d) -> int:
    """Elements of the arrays that the prepared call owns besides its tensors."""
    x, w = (np.zeros(shape, np.float32) for shape in op.inputs("forward").values())
    call = forward(Problem(op), x, w)
    (columns,) = (
        cell.cell_contents for cell in call.__closure__ or () if hasattr(cell.cell_contents, "gather")
    )
    return sum(v.size for v in vars(columns).values() if isinstance(v, np.ndarray) and v.base is None)
