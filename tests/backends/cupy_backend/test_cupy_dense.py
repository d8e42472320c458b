"""The dense family on cupy, over the stand-ins: scaled products, layers, and products of int8."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from standin_cupy import Card

from dlbench.backends.backend import tensors_of
from dlbench.errors import UnsupportedError
from dlbench.ops.linear import Linear
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Op
from dlbench.ops.problem import Problem
from dlbench.ops.quantized import Int8Matmul
from dlbench.ops.tolerance import tolerance

SCALED: tuple[Matmul, ...] = (
    Matmul(m=9, n=5, k=11, alpha=-0.75),
    Matmul(m=5, n=7, k=6, trans_b=True, beta=1.5),
    Matmul(m=3, n=4, k=5, batch=2, trans_a=True, alpha=0.5, beta=-2.0),
)


def prepared(backend: Any, one: Any, problem: Problem) -> tuple[Any, list[Any]]:
    tensors = tensors_of(backend, problem, problem.inputs())
    with backend.activate(one.variant, dtype=problem.dtype):
        return one.prepare(problem, *tensors), tensors


@pytest.mark.parametrize("dtype", ["float32", "float64", "tf32", "float16"])
@pytest.mark.parametrize("op", SCALED, ids=Matmul.label)
def test_each_call_scales_and_adds_anew_without_an_array_of_its_own(
    backend: Any, op: Matmul, dtype: str
) -> None:
    problem = Problem(op, dtype)
    inputs = problem.inputs()
    call, tensors = prepared(backend, backend.find(problem, "library"), problem)
    backend.poison(call())
    assert backend.peak_of(call) == 0
    found, expected = backend.host(call()), op.reference("forward", inputs)["c"]
    assert np.abs(found - expected).max() / np.sqrt(np.mean(expected**2)) <= tolerance(problem)
    for tensor, given in zip(tensors, inputs.values(), strict=True):
        assert np.array_equal(backend.host(tensor), given)


def test_a_layer_is_one_product_in_each_direction_in_the_dtypes_own_units(backend: Any, card: Card) -> None:
    for dtype, compute in (("float32", 68), ("tf32", 77), ("float16", 68), ("float64", 70)):
        for direction in Linear.directions:
            problem = Problem(Linear(n=3, in_features=4, out_features=5), dtype, direction)
            prepared(backend, backend.find(problem, "library"), problem)[0]()
        assert card.products == [(5, 3, 4, compute), (4, 3, 5, compute), (4, 5, 3, compute)]
        card.products.clear()


def test_whole_numbers_are_added_up_in_int32(backend: Any, card: Card) -> None:
    problem = Problem(Int8Matmul(m=7, n=12, k=32), "int8")
    prepared(backend, backend.find(problem, "library"), problem)[0]()
    assert card.products == [(12, 7, 32, 72)]


@pytest.mark.parametrize("op", [Int8Matmul(m=8, n=6, k=8), Int8Matmul(m=8, n=8, k=6)])
def test_rows_of_whole_numbers_that_cublas_does_not_take_are_unsupported(backend: Any, op: Op) -> None:
    problem = Problem(op, "int8")
    with pytest.raises(UnsupportedError) as raised:
        prepared(backend, backend.find(problem, "library"), problem)
    assert str(raised.value) == (
        f"{problem.label}: cuBLAS takes int8 matrices whose n and k are multiples of 4"
    )


@pytest.mark.parametrize("op", [Matmul(m=4, n=3, k=2, alpha=2.0), Matmul(m=4, n=3, k=2, beta=1.0)])
@pytest.mark.parametrize("variant", ["naive", "tiled"])
def test_the_kernels_have_no_alpha_and_beta(backend: Any, variant: str, op: Op) -> None:
    problem = Problem(op)
    with pytest.raises(UnsupportedError) as raised:
        prepared(backend, backend.find(problem, variant), problem)
    assert str(raised.value) == f"{problem.label}: the kernel matmul has no alpha and beta"


@pytest.mark.parametrize("op", [Matmul(m=4, n=3, k=2, alpha=2.0), Matmul(m=4, n=3, k=2, beta=1.0)])
@pytest.mark.parametrize("mode", ["", "all-plans"])
def test_cudnns_product_has_no_alpha_and_beta(backend: Any, mode: str, op: Op) -> None:
    problem = Problem(op)
    with pytest.raises(UnsupportedError) as raised:
        prepared(backend, backend.find(problem, "cudnn", mode=mode), problem)
    assert str(raised.value) == f"{problem.label}: cuDNN's matrix product has no alpha and beta"
