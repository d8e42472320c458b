"""What torch's errors mean: memory that ran out, a device that is lost, kernels that this build lacks."""

from __future__ import annotations

from collections.abc import Iterator

import torch

OUT_OF_MEMORY = (
    "can't allocate memory",
    "not enough memory",
    "std::bad_alloc",
    "out of memory",
    "ALLOC_FAILED",
    "AllocFailed",
    "rocblas_status_memory_error",
    "OUT_OF_DEVICE_MEMORY",
    "OUT_OF_HOST_MEMORY",
)
"""How torch's allocator for processors says so in a RuntimeError; CUDA, HIP, XPU and MPS ("… out of memory"); cuBLAS,
cuDNN and hipBLAS (…_STATUS_ALLOC_FAILED), MIOpen, rocBLAS; and Level Zero through SYCL (UR_RESULT_ERROR_OUT_OF_…)."""

FATAL = (
    "illegal memory access",
    "unspecified launch failure",
    "device-side assert",
    "uncorrectable ECC error",
    "uncorrectable NVLink error",
    "illegal instruction",
    "misaligned address",
    "operation not supported on global/shared address space",
    "invalid program counter",
    "hardware stack error",
    "the launch timed out and was terminated",
    "context is destroyed",
    "fallen off the bus",
    "GPU is lost",
    "device lost",
    "DEVICE_LOST",
    "HIP error: unknown error",
    "CUDA error: unknown error",
)
"""Texts of the errors after which every later call fails too (CUDA Runtime API, cudaError: "this leaves the process in an
inconsistent state"; HIP's texts are the same), of a board that is gone, and of Level Zero's UR_RESULT_ERROR_DEVICE_LOST."""

NO_KERNELS = ("no kernel image is available", "invalid device function")
"""CUDA and HIP, of code that was not compiled for the card: only that call fails."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether the host's or the device's memory ran out, in torch or in a library that it calls."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and _says(error, OUT_OF_MEMORY)


def is_fatal(error: BaseException) -> bool:
    """Return whether the process can compute no more on the device."""
    return isinstance(error, RuntimeError) and not is_out_of_memory(error) and _says(error, FATAL)


def lacks_kernels(error: BaseException) -> bool:
    """Return whether this torch was not built for the card."""
    return isinstance(error, RuntimeError) and _says(error, NO_KERNELS)


def capture_refusal(error: BaseException) -> str:
    """Return why work cannot be captured in a graph, the empty string where that is not what the error says.

    The end of a capture that failed raises an error of its own; the first one says what was done that may not be.
    """
    reasons = [one for one in _chain(error) if "captur" in str(one).lower()]
    return " ".join(str(reasons[-1]).split()) if reasons else ""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and those that led to it, the first of them last."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _says(error: BaseException, phrases: tuple[str, ...]) -> bool:
    text = str(error)
    return any(phrase in text for phrase in phrases)
