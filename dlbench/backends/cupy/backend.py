"""cupy as a backend."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import cupy
import numpy as np

from dlbench.backends.backend import Backend, BackendSpec, Identity, Implementation, Tensor, collect
from dlbench.backends.cupy import (
    SPEC,
    activation,
    angular_loss,
    attention,
    classification_loss,
    conv,
    conv_nd,
    cudnn_attention,
    cudnn_conv,
    cudnn_matmul,
    dropout,
    elementwise,
    faults,
    im2col,
    indexing,
    linear,
    loss,
    matmul,
    metric_loss,
    normalization,
    optimizer,
    pooling,
    quantized,
    recurrent,
    recurrent_cell,
    reduction,
    softmax,
    sorting,
    sparse,
    stream,
)
from dlbench.backends.cupy.queue import CupyQueue
from dlbench.errors import UnsupportedError
from dlbench.ops.dtypes import FORMATS, Array, poison_of
from dlbench.timing.clock import Clock, HostClock
from dlbench.timing.event_clock import EventClock

_IMPLEMENTATIONS = collect(
    activation,
    angular_loss,
    attention,
    classification_loss,
    conv,
    conv_nd,
    cudnn_attention,
    cudnn_conv,
    cudnn_matmul,
    dropout,
    elementwise,
    im2col,
    indexing,
    linear,
    loss,
    matmul,
    metric_loss,
    normalization,
    optimizer,
    pooling,
    quantized,
    recurrent,
    recurrent_cell,
    reduction,
    softmax,
    sorting,
    sparse,
    stream,
)

UUID_BYTES = 16
CUDNN_BENCHMARK = "cudnn.benchmark"
AMPERE = 80
"""The compute capability of the first boards with TF32, 8.0 (NVIDIA A100 whitepaper, 2020)."""


class CupyBackend(Backend):
    """Arrays on one CUDA device, whose index is this process's current one."""

    spec: ClassVar[BackendSpec] = SPEC

    def __init__(self, device: str, threads: int) -> None:
        """Take the device and make it the current one.

        Raises UnsupportedError, with the reason, where there is no such device.
        """
        super().__init__(device, threads)
        self._index = faults.index_of(device)
        if self._index >= faults.device_count():
            raise UnsupportedError(faults.why_no_device(device))
        cupy.cuda.Device(self._index).use()

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the CUDA devices; none where there is no driver."""
        return tuple(f"cuda:{index}" for index in range(faults.device_count()))

    @classmethod
    def why_not(cls, device: str) -> str:
        """Return why cupy cannot compute on the device, and what to do about it."""
        return faults.why_no_device(device)

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        """Return every implementation in this folder."""
        return _IMPLEMENTATIONS

    def environment(self) -> dict[str, str]:
        """Return the versions of cupy, the driver and the libraries, the device, and the variable that rules TF32."""
        runtime = cupy.cuda.runtime
        return {
            "cupy": cupy.__version__,
            "cuda runtime": faults.version(runtime.runtimeGetVersion()),
            "cuda driver": faults.version(runtime.driverGetVersion()),
            "cublas": _known(_cublas_version),
            "nvrtc": _known(_nvrtc_version),
            "cudnn": _known(lambda: importlib.import_module("cudnn").backend_version()),
            "cudnn frontend": _known(lambda: importlib.import_module("cudnn").__version__),
            "device": _name(runtime.getDeviceProperties(self._index)),
            "compute capability": _capability(cupy.cuda.Device(self._index).compute_capability),
            "NVIDIA_TF32_OVERRIDE": os.environ.get("NVIDIA_TF32_OVERRIDE", "unset"),
        }

    def tensor(self, values: Array, dtype: str) -> Tensor:
        """Return a contiguous array on the device, its values there.

        Raises UnsupportedError for bfloat16 and the like, which numpy and cupy have no number for.
        """
        stored = FORMATS[dtype].storage
        if not hasattr(np, stored):
            raise UnsupportedError(f"cupy has no {dtype}; torch has")
        array = cupy.asarray(np.array(values, dtype=stored, order="C"))
        self._wait()
        return array

    def host(self, tensor: Tensor) -> Array:
        """Return a float64 copy on the host, of what every stream has computed."""
        self._wait()
        return np.array(cupy.asnumpy(tensor), dtype=np.float64)

    def dtype(self, tensor: Tensor) -> str:
        """Return the array's dtype."""
        return str(tensor.dtype)

    def poison(self, tensor: Tensor) -> None:
        """Fill the array with NaN, or the smallest integer, now."""
        self._wait()
        tensor.fill(poison_of(str(tensor.dtype)))
        self._wait()

    @contextmanager
    def activate(
        self,
        variant: str,  # noqa: ARG002 - what a variant computes in is told to the library at each call
        *,
        dtype: str = "float32",
        flags: tuple[str, ...] = (),
    ) -> Iterator[None]:
        """Make the device the current one.

        Raises UnsupportedError for TF32 on a board before Ampere, which would compute in float32 under its name, and for
        a flag of torch's.
        """
        if dtype == "tf32" and int(cupy.cuda.Device(self._index).compute_capability) < AMPERE:
            raise UnsupportedError(f"{self.device} has no TF32; it needs compute capability 8.0")
        if CUDNN_BENCHMARK in flags:
            raise UnsupportedError(f"{CUDNN_BENCHMARK} is torch's; cupy:cudnn has the mode all-plans")
        with cupy.cuda.Device(self._index):
            yield

    def _wait(self) -> None:
        """Wait for the whole device: the clock's stream does not wait for the one that tensors are made in."""
        cupy.cuda.Device(self._index).synchronize()

    def clock(self) -> Clock:
        """Return a stopwatch of the device's own events."""
        return EventClock(CupyQueue(self._index))

    @classmethod
    def clock_for(cls, tensor: Tensor) -> Clock:
        """Return device events for a cupy array, the host's clock for all else."""
        return EventClock(CupyQueue(tensor.device.id)) if isinstance(tensor, cupy.ndarray) else HostClock()

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether the error says that the device's or the host's memory ran out."""
        return faults.is_out_of_memory(error)

    def is_fatal(self, error: Exception) -> bool:
        """Return whether the error is one of those that CUDA keeps reporting until the process ends."""
        return not faults.is_out_of_memory(error) and faults.is_fatal(error)

    def identity(self) -> Identity:
        """Return the device's UUID and its PCI address."""
        runtime = cupy.cuda.runtime
        uuid = runtime.getDeviceProperties(self._index).get("uuid", b"")
        return Identity(_uuid(uuid), runtime.deviceGetPCIBusId(self._index))

    def free_memory(self) -> int:
        """Return the device's free bytes, with those that cupy keeps for later arrays."""
        free, _ = cupy.cuda.runtime.memGetInfo()
        return int(free) + int(cupy.get_default_memory_pool().free_bytes())

    def peak_of(self, work: Callable[[], object]) -> int:
        """Run the work; return the most bytes that its arrays held at once.

        What cuBLAS and cuDNN allocate for themselves is not among them; cuDNN's workspace is an array.
        """
        peak = _Peak()
        with peak:
            work()
        return peak.most

    def release(self) -> None:
        """Give the pools' free blocks back to the driver."""
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()

    def laid_out(self, tensor: Tensor, layout: str) -> Tensor:
        """Return a copy of an array of four axes whose second one, the channels, is the last in memory.

        Raises UnsupportedError for another layout.
        """
        if layout != "NHWC" or tensor.ndim != 4:
            raise UnsupportedError(f"cupy has no layout {layout} for {tensor.ndim} axes")
        copy = cudnn_conv.channels_last(tensor.shape, tensor.dtype)
        copy[...] = tensor
        self._wait()
        return copy


class _Peak(cupy.cuda.MemoryHook):  # type: ignore[misc]  # cupy has no types
    """Counts what the work takes from cupy's memory pools and gives back."""

    name = "dlbench peak"

    def __init__(self) -> None:
        self.held = self.most = 0

    def malloc_postprocess(self, **block: int) -> None:
        """Count a block that was taken."""
        if block["mem_ptr"]:
            self.held += block["mem_size"]
            self.most = max(self.most, self.held)

    def free_postprocess(self, **block: int) -> None:
        """Count a block that was given back."""
        self.held -= block["mem_size"]


def _known(ask: Callable[[], object]) -> str:
    """Return a library's version, "none" where it is not installed."""
    try:
        return str(ask())
    except (ImportError, OSError, RuntimeError, UnsupportedError):
        return "none"


def _cublas_version() -> int:
    return int(matmul.cublas().getVersion(cupy.cuda.device.get_cublas_handle()))


def _nvrtc_version() -> str:
    return ".".join(map(str, cupy.cuda.nvrtc.getVersion()))


def _name(properties: dict[str, Any]) -> str:
    name = properties["name"]
    return name.decode() if isinstance(name, bytes) else str(name)


def _capability(digits: str) -> str:
    """Return "120" as "12.0"."""
    return f"{digits[:-1]}.{digits[-1]}"


def _uuid(value: bytes) -> str:
    """Return how NVML writes the 16 bytes of a UUID; the empty string for fewer.

    Where cupy reads them as a C string, they end at the first zero byte; the PCI address says then which board it is.
    """
    if len(value) < UUID_BYTES:
        return ""
    digits = value[:UUID_BYTES].hex()
    return "GPU-" + "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
