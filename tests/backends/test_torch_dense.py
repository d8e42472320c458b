"""What torch's 8-bit and 2:4 products ask of a GPU, against stand-ins for one; nothing here computes on one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from dlbench.backends.torch import quantized, sparse
from dlbench.errors import UnsupportedError
from dlbench.ops.problem import Problem
from dlbench.ops.quantized import Fp8Matmul, Int8Matmul
from dlbench.ops.sparse import Sparse24

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

Sees = Callable[[tuple[int, int]], None]
PRUNED = Problem(Sparse24(m=32, n=16, k=64), "float16")


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Sees:
    """Let torch see a board of the compute capability."""

    def see(capability: tuple[int, int]) -> None:
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Board")

    return see


def on_a_gpu(*shape: int) -> Any:
    """A tensor as far as it is looked at before anything is computed."""
    gpu = SimpleNamespace(shape=shape, is_cuda=True, device=torch.device("cuda:0"))
    gpu.mT = SimpleNamespace(shape=shape[::-1])
    return gpu


@pytest.mark.parametrize(("m", "n", "k"), [(16, 8, 8), (17, 9, 8), (17, 8, 12)])
def test_int8_extents_that_torch_does_not_take_on_a_gpu_are_unsupported(m: int, n: int, k: int) -> None:
    problem = Problem(Int8Matmul(m=m, n=n, k=k), "int8")
    with pytest.raises(UnsupportedError) as raised:
        quantized.int8(problem, on_a_gpu(m, k), on_a_gpu(k, n))
    assert str(raised.value) == (
        f"int8_matmul {m}×{n}×{k}: on a GPU torch._int_mm takes at least 17 rows, and columns (n and k) in "
        "multiples of 8"
    )


def test_int8_extents_that_torch_takes_are_given_to_it() -> None:
    problem = Problem(Int8Matmul(m=17, n=8, k=16), "int8")
    call: Any = quantized.int8(problem, on_a_gpu(17, 16), on_a_gpu(16, 8))
    assert call.func is torch._int_mm


@pytest.mark.parametrize(("n", "k"), [(24, 16), (16, 24)])
def test_fp8_extents_that_torch_does_not_take_on_a_gpu_are_unsupported(board: Sees, n: int, k: int) -> None:
    board((9, 0))
    problem = Problem(Fp8Matmul(m=5, n=n, k=k), "float8_e4m3fn")
    with pytest.raises(UnsupportedError) as raised:
        quantized.fp8(problem, on_a_gpu(5, k), on_a_gpu(n, k), on_a_gpu(1), on_a_gpu(1))
    assert str(raised.value) == (
        f"fp8_matmul 5×{n}×{k}: on a GPU torch._scaled_mm takes n and k in multiples of 16"
    )


def test_a_gpu_older_than_fp8_is_told_with_its_capability(board: Sees) -> None:
    board((8, 6))
    problem = Problem(Fp8Matmul(m=5, n=16, k=16), "float8_e4m3fn")
    with pytest.raises(UnsupportedError) as raised:
        quantized.fp8(problem, on_a_gpu(5, 16), on_a_gpu(16, 16), on_a_gpu(1), on_a_gpu(1))
    assert str(raised.value) == "no fp8 on Board (compute capability 8.6): it came with 8.9"


def test_the_second_fp8_matrix_is_given_turned(board: Sees) -> None:
    board((8, 9))
    b = on_a_gpu(16, 32)
    problem = Problem(Fp8Matmul(m=5, n=16, k=32), "float8_e4m3fn")
    call: Any = quantized.fp8(problem, on_a_gpu(5, 32), b, on_a_gpu(1), on_a_gpu(1))
    assert call.func is torch._scaled_mm
    assert call.args[1] is b.mT
    assert call.keywords == {"out_dtype": torch.bfloat16}


def test_a_gpu_older_than_sparse_tensor_cores_is_told_with_its_capability(board: Sees) -> None:
    board((7, 5))
    with pytest.raises(UnsupportedError) as raised:
        sparse.semi_structured(PRUNED, on_a_gpu(32, 64), on_a_gpu(64, 16))
    assert str(raised.value) == (
        "no 2:4 sparsity on Board (compute capability 7.5): sparse tensor cores came with 8.0"
    )


def test_an_amd_gpu_has_no_sparse_tensor_cores_of_nvidias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.version, "hip", "6.4")
    with pytest.raises(UnsupportedError, match="no 2:4 sparsity on an AMD GPU: NVIDIA's sparse tensor cores"):
        sparse.semi_structured(PRUNED, on_a_gpu(32, 64), on_a_gpu(64, 16))


def test_a_matrix_that_torch_does_not_compress_is_unsupported(
    board: Sees, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(a: Any) -> Any:
        raise RuntimeError(
            "Error original_tensor.shape torch.Size([32, 64]) is not supported! Both dimensions"
        )

    board((8, 0))
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", refuse)
    with pytest.raises(
        UnsupportedError, match=r"^torch compresses no such matrix: Error original_tensor.shape"
    ):
        sparse.semi_structured(PRUNED, on_a_gpu(32, 64), on_a_gpu(64, 16))


def test_another_error_while_it_is_compressed_is_not_taken_for_that(
    board: Sees, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(a: Any) -> Any:
        raise RuntimeError("CUDA out of memory")

    board((8, 0))
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        sparse.semi_structured(PRUNED, on_a_gpu(32, 64), on_a_gpu(64, 16))


def test_a_matrix_is_compressed_while_it_is_prepared_and_multiplied_at_each_call(
    board: Sees, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []

    def compress(a: Any) -> Any:
        warnings.warn("in prototype stage", UserWarning, stacklevel=2)
        made.append(a)
        return "compressed"

    board((9, 0))
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", compress)
    a, b = on_a_gpu(32, 64), on_a_gpu(64, 16)
    call: Any = sparse.semi_structured(PRUNED, a, b)
    assert made == [a]
    assert (call.func, call.args) == (torch.mm, ("compressed", b))
