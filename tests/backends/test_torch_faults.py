from __future__ import annotations

import warnings

import pytest

from dlbench.backends.torch.backend import TorchBackend
from dlbench.backends.torch.faults import capture_refusal, lacks_kernels

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

AcceleratorError = getattr(torch, "AcceleratorError", RuntimeError)
OUT_OF_MEMORY = [
    torch.OutOfMemoryError(
        "CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 15.77 GiB"
    ),
    torch.OutOfMemoryError("HIP out of memory. Tried to allocate 20.00 GiB."),
    RuntimeError("MPS backend out of memory (MPS allocated: 17.91 GB, other allocations: 1.00 GB)"),
    AcceleratorError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("CUDA error: HIPBLAS_STATUS_ALLOC_FAILED when calling `hipblasCreate(handle)`"),
    RuntimeError("level_zero backend failed with error: 39 (UR_RESULT_ERROR_OUT_OF_DEVICE_MEMORY)"),
    MemoryError(),
]
FATAL = [
    AcceleratorError("CUDA error: an illegal memory access was encountered\nFor debugging consider passing"),
    AcceleratorError("CUDA error: unspecified launch failure"),
    AcceleratorError("CUDA error: device-side assert triggered"),
    RuntimeError("HIP error: an illegal memory access was encountered"),
    AcceleratorError("CUDA error: uncorrectable ECC error encountered"),
    AcceleratorError("CUDA error: misaligned address"),
    AcceleratorError("CUDA error: the launch timed out and was terminated"),
    AcceleratorError("CUDA error: unknown error"),
    RuntimeError("GPU 0000:65:00.0 has fallen off the bus"),
    RuntimeError("level_zero backend failed with error: 20 (UR_RESULT_ERROR_DEVICE_LOST)"),
]
PASSING = [
    AcceleratorError("CUDA error: no kernel image is available for execution on the device"),
    AcceleratorError("CUDA error: invalid configuration argument"),
    RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 2x3)"),
    RuntimeError("Unable to find an engine to execute this computation"),
    ValueError("an illegal memory access was encountered"),
]


@pytest.fixture(scope="module")
def backend() -> TorchBackend:
    return TorchBackend("cpu", torch.get_num_threads())


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_memory_that_ran_out_is_known_and_harms_nothing_else(backend: TorchBackend, error: Exception) -> None:
    assert backend.is_out_of_memory(error)
    assert not backend.is_fatal(error)


@pytest.mark.parametrize("error", FATAL, ids=str)
def test_a_lost_device_is_known(backend: TorchBackend, error: Exception) -> None:
    assert backend.is_fatal(error)
    assert not backend.is_out_of_memory(error)


@pytest.mark.parametrize("error", PASSING, ids=str)
def test_what_fails_only_this_call_is_not_fatal(backend: TorchBackend, error: Exception) -> None:
    assert not backend.is_fatal(error)
    assert not backend.is_out_of_memory(error)


def test_a_device_that_no_longer_answers_is_lost_whatever_a_library_called_it(
    backend: TorchBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned() -> None:
        raise AcceleratorError("CUDA error: unspecified launch failure")

    error = RuntimeError("cuDNN error: CUDNN_STATUS_EXECUTION_FAILED")
    assert not backend.is_fatal(error)
    monkeypatch.setattr(backend, "_wait", poisoned)
    assert backend.is_fatal(error)
    assert not backend.is_fatal(ValueError("a mistake of the caller's"))


def test_kernels_that_this_build_lacks_are_known() -> None:
    assert lacks_kernels(RuntimeError("CUDA error: no kernel image is available for execution on the device"))
    assert lacks_kernels(RuntimeError("HIP error: invalid device function"))
    assert not lacks_kernels(RuntimeError("CUDA error: an illegal memory access was encountered"))


def test_a_capture_is_refused_with_what_was_done_and_not_with_how_it_ended() -> None:
    try:
        try:
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nmore")
        finally:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")
    except RuntimeError as error:
        refusal = capture_refusal(error)
    assert refusal == "CUDA error: operation not permitted when stream is capturing more"


def test_another_error_is_no_refusal_of_a_capture() -> None:
    assert capture_refusal(RuntimeError("CUDA out of memory")) == ""
