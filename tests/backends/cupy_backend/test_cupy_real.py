"""The real cupy, where it is installed; no GPU is needed, and none is used."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from dlbench.backends.cupy import SPEC

cupy: Any = pytest.importorskip("cupy", exc_type=ImportError)
if not hasattr(cupy, "cuda"):
    pytest.skip("cupy is not installed", allow_module_level=True)


def test_the_specification_imports_no_cupy() -> None:
    program = "import sys, dlbench.backends.cupy as c; print('cupy' in sys.modules, c.SPEC.name)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False cupy\n"


def test_the_backend_is_imported_and_says_what_it_can_compute_on() -> None:
    backend = SPEC.load()
    devices = backend.devices()
    assert all(re.fullmatch(r"cuda:\d+", device) for device in devices)
    assert backend.why_not("cpu") == "cupy computes on CUDA GPUs only, not on cpu"
    if not devices:
        assert re.search(r"install|update|nvidia-smi|unset", backend.why_not("cuda:0"))


def nvrtc() -> Any:
    binding = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", exc_type=ImportError)
    try:
        binding.getVersion()
    except (ImportError, RuntimeError):
        pytest.skip("NVRTC is not installed")
    return binding


@pytest.mark.parametrize("arch", ["sm_75", "sm_120"])
def test_the_kernel_that_holds_a_queue_compiles_without_a_warning(arch: str) -> None:
    binding, source = nvrtc(), SPEC.load()  # the backend is imported before its module is
    assert source is not None
    from dlbench.backends.cupy.queue import HOLD

    if binding.getVersion() < (12, 8) and arch == "sm_120":
        pytest.skip("this NVRTC knows no sm_120")
    program = binding.createProgram(HOLD, "hold.cu", (), ())
    try:
        binding.compileProgram(program, ("-std=c++17", f"-arch={arch}", "-Werror=all-warnings"))
        assert binding.getProgramLog(program).strip("\0\n ") == ""
        assert len(binding.getCUBIN(program)) > 0
    finally:
        binding.destroyProgram(program)


def test_the_names_that_the_backend_asks_cupy_for_are_there() -> None:
    runtime = cupy.cuda.runtime
    for name in (
        "CUDA_R_16F", "CUDA_R_32F", "CUDA_R_64F", "cudaDevAttrL2CacheSize", "hostAllocMapped", "getDeviceCount",
        "driverGetVersion", "runtimeGetVersion", "deviceSynchronize", "getDevice", "deviceGetAttribute",
        "getDeviceProperties", "deviceGetPCIBusId", "memGetInfo",
    ):  # fmt: skip
        assert hasattr(runtime, name), name
    for name in (
        "Device", "Stream", "Event", "MemoryHook", "MemoryPool", "PinnedMemory", "using_allocator",
        "alloc_pinned_memory", "get_current_stream", "get_elapsed_time",
    ):  # fmt: skip
        assert hasattr(cupy.cuda, name), name
    for name in ("begin_capture", "end_capture", "is_capturing", "synchronize"):
        assert hasattr(cupy.cuda.Stream, name), name
    for name in ("copy_from_device_async", "copy_from_host_async", "copy_to_host_async", "memset_async"):
        assert hasattr(cupy.cuda.MemoryPointer, name), name
    assert hasattr(cupy.cuda.device, "get_cublas_handle")
    kinds = runtime.CUDA_R_32F, runtime.CUDA_R_64F, runtime.CUDA_R_16F, runtime.hostAllocMapped
    assert kinds == (0, 1, 2, 2)


def test_cupys_errors_are_known_by_their_names_and_codes() -> None:
    SPEC.load()
    from dlbench.backends.cupy import faults

    kind = cupy.cuda.runtime.CUDARuntimeError
    assert faults.is_cuda(kind(700))
    assert (faults.status(kind(700)), faults.is_fatal(kind(700))) == (700, True)
    assert not faults.is_fatal(kind(1))
    assert faults.is_out_of_memory(kind(2))
    assert [faults.is_capture(kind(code)) for code in (900, 908, 700)] == [True, True, False]
    driver_error = cupy.cuda.driver.CUDADriverError  # one can be made only where a driver is
    assert driver_error.__name__ == "CUDADriverError"
    assert faults.is_out_of_memory(cupy.cuda.memory.OutOfMemoryError(1, 2, 3))
