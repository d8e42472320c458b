"""What CUDA's errors mean: why there is no device, whether memory ran out, and whether the process is done for."""

from __future__ import annotations

import os

import cupy

from dlbench.errors import UnsupportedError

NO_DEVICE = 100
INSUFFICIENT_DRIVER = 35
OUT_OF_MEMORY = 2
"""Codes that the runtime's cudaError_t and the driver's CUresult share (CUDA Runtime API, cudaError)."""
CUBLAS_ALLOC_FAILED = 3
"""CUBLAS_STATUS_ALLOC_FAILED (cuBLAS, cublasStatus_t)."""

FATAL = {
    214: "uncorrectable ECC error",
    220: "uncorrectable NVLink error",
    226: "contained error",
    700: "illegal address",
    702: "launch timed out",
    709: "context destroyed",
    710: "device-side assertion",
    714: "hardware stack error",
    715: "illegal instruction",
    716: "misaligned address",
    717: "invalid address space",
    718: "invalid program counter",
    719: "launch failure",
    721: "tensor memory leak",
    999: "unknown error",
}
"""Codes after which every later call of the process fails with the same (CUDA Runtime API, cudaError: "this leaves the
process in an inconsistent state"), and the unknown error, which a board that fell off its bus reports."""

CAPTURE = range(900, 909)
"""Codes of what a stream that is being captured does not allow (CUDA Runtime API, cudaErrorStreamCapture…)."""


def version(number: int) -> str:
    """Return CUDA's version number, such as 13020, as "13.2"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def cuda_major() -> int:
    """Return the CUDA major version that this cupy was built for."""
    try:
        return int(cupy.cuda.runtime.runtimeGetVersion()) // 1000
    except (ImportError, RuntimeError):
        return 13


def missing_library(error: ImportError) -> str:
    """Return which package has the CUDA library that could not be loaded."""
    major = cuda_major()
    what = str(error).partition("\n")[0]
    return f'a CUDA {major} library is missing ({what}); pip install "cupy-cuda{major}x[ctk]"'


def status(error: BaseException) -> int:
    """Return the code of an error of CUDA's runtime, driver or libraries; 0 for any other."""
    code = getattr(error, "status", 0)
    return code if isinstance(code, int) else 0


def is_cuda(error: BaseException) -> bool:
    """Return whether the error is the CUDA runtime's or driver's, whose codes are the same."""
    return type(error).__name__ in {"CUDARuntimeError", "CUDADriverError"}


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether device or host memory ran out, in cupy, CUDA, cuBLAS or cuDNN."""
    if isinstance(error, MemoryError):  # cupy's OutOfMemoryError is one
        return True
    if is_cuda(error):
        return status(error) == OUT_OF_MEMORY
    if type(error).__name__ == "CUBLASError":
        return status(error) == CUBLAS_ALLOC_FAILED
    return "CUDNN_STATUS_ALLOC_FAILED" in str(error)


def is_capture(error: BaseException) -> bool:
    """Return whether the error says that the work cannot be captured in a graph."""
    return status(error) in CAPTURE and is_cuda(error)


def is_fatal(error: BaseException) -> bool:
    """Return whether the process can compute no more on the device.

    A library reports the fault in words of its own. Such a fault stays: the next call of the runtime says it by code.
    """
    if is_cuda(error):
        return status(error) in FATAL
    try:
        cupy.cuda.runtime.deviceSynchronize()
    except RuntimeError as left:
        return is_cuda(left) and status(left) in FATAL
    return False


def device_count() -> int:
    """Return how many CUDA devices there are; 0 where the driver, or a library, is missing."""
    try:
        return int(cupy.cuda.runtime.getDeviceCount())
    except (ImportError, RuntimeError):
        return 0


def index_of(device: str) -> int:
    """Return the index in "cuda:0"; "cuda" is the first.

    Raises UnsupportedError for a device that is not a CUDA GPU.
    """
    kind, _, index = device.partition(":")
    if kind != "cuda" or not (index or "0").isdecimal():
        raise UnsupportedError(f"cupy computes on CUDA GPUs only, not on {device}")
    return int(index or "0")


def why_no_device(device: str) -> str:
    """Return why cupy cannot compute on the device, and what to do about it."""
    try:
        index_of(device)
        count = int(cupy.cuda.runtime.getDeviceCount())
    except UnsupportedError as error:
        return str(error)
    except ImportError as error:
        return missing_library(error)
    except RuntimeError as error:
        return _no_driver(error)
    if count == 0:
        return _no_gpu()
    there = ", ".join(f"cuda:{index}" for index in range(count))
    return f"no {device}: there {'is' if count == 1 else 'are'} {count}: {there}"


def _no_driver(error: RuntimeError) -> str:
    if status(error) == NO_DEVICE:
        return _no_gpu()
    if status(error) != INSUFFICIENT_DRIVER:
        return f"CUDA cannot be started ({error}); see what nvidia-smi says"
    driver, runtime = cupy.cuda.runtime.driverGetVersion(), cupy.cuda.runtime.runtimeGetVersion()
    if driver == 0:
        return "there is no NVIDIA driver here; install one (nvidia-smi must list the GPU)"
    older = f"the driver supports CUDA {version(driver)}, older than the runtime {version(runtime)}"
    return f"{older} of this cupy; update the driver or pip install cupy-cuda{driver // 1000}x"


def _no_gpu() -> str:
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return "the driver sees no CUDA GPU; see what nvidia-smi says"
    return f"no CUDA GPU is visible: CUDA_VISIBLE_DEVICES is `{visible}`; unset it or name a GPU"
