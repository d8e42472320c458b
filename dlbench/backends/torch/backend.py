"""torch as a backend."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch.profiler import ProfilerActivity, profile, supported_activities

from dlbench.backends.backend import Backend, BackendSpec, Identity, Implementation, Tensor, collect
from dlbench.backends.torch import (
    SPEC,
    absence,
    activation,
    angular_loss,
    attention,
    classification_loss,
    conv,
    conv_nd,
    conv_transpose,
    differentiation,
    dropout,
    elementwise,
    facts,
    faults,
    fft,
    im2col,
    indexing,
    linear,
    loss,
    matmul,
    metric_loss,
    network,
    normalization,
    optimizer,
    perceptron,
    pooling,
    quantized,
    recurrent,
    recurrent_cell,
    reduction,
    reinforcement,
    sdpa,
    softmax,
    sorting,
    sparse,
    stream,
    tagger,
    transfer,
    transformer,
    transpose,
)
from dlbench.backends.torch.compiled import with_compiled
from dlbench.backends.torch.flags import switched, told
from dlbench.backends.torch.queue import TorchQueue
from dlbench.errors import UnsupportedError
from dlbench.ops.dtypes import FORMATS, Array, poison_of
from dlbench.timing.clock import Call, Clock, HostClock
from dlbench.timing.event_clock import EventClock

_COMPUTED = collect(
    activation,
    angular_loss,
    attention,
    perceptron,
    classification_loss,
    conv,
    conv_nd,
    conv_transpose,
    differentiation,
    dropout,
    elementwise,
    fft,
    im2col,
    indexing,
    linear,
    loss,
    matmul,
    metric_loss,
    network,
    normalization,
    optimizer,
    pooling,
    quantized,
    recurrent,
    recurrent_cell,
    reduction,
    reinforcement,
    softmax,
    sorting,
    sparse,
    stream,
    tagger,
    transformer,
    transpose,
)
_IMPLEMENTATIONS = (*with_compiled(_COMPUTED), *collect(transfer))
"""A transfer has nothing to compile."""

CUDNN_BENCHMARK = "cudnn.benchmark"
AMPERE = 8
"""The compute capability's major number of the first GPUs with TF32 (NVIDIA A100 whitepaper, 2020)."""


class TorchBackend(Backend):
    """Tensors on one device that torch knows, with torch's thread pool limited to the run's threads."""

    spec: ClassVar[BackendSpec] = SPEC

    def __init__(self, device: str, threads: int) -> None:
        """Take the device, make an accelerator the current one, and set torch's threads.

        Raises UnsupportedError, with the reason, where torch has no such device, or no kernels for it.
        """
        super().__init__(device, threads)
        if device != "cpu" and device not in self.devices():
            raise UnsupportedError(self.why_not(device))
        self._device = torch.device(device)
        torch.set_num_threads(threads)
        if self._accelerated:
            self._start()

    @property
    def _accelerated(self) -> bool:
        return self._device.type != "cpu"

    @property
    def _module(self) -> Any:
        """torch.cuda for both CUDA and ROCm, torch.xpu, torch.mps."""
        return torch.get_device_module(self._device)

    def _start(self) -> None:
        """Make the device the current one, and its first call, which fails where this torch was not built for it."""
        if hasattr(self._module, "set_device"):
            self._module.set_device(self._device)
        try:
            torch.ones(2, device=self._device).add_(1).sum().item()
        except RuntimeError as error:
            if not faults.lacks_kernels(error):
                raise
            raise UnsupportedError(self._no_kernels()) from error

    def _no_kernels(self) -> str:
        about = facts.of_the_accelerator(self._device)
        card = f"{about.get('device', self.device)} (compute capability {about.get('compute capability', 'unknown')})"
        return (
            f"this torch ({torch.__version__}) has no kernels for {card}, only for "
            f"{', '.join(self._module.get_arch_list())}; install one that has: {absence.GUIDE}"
        )

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the processor and the accelerators that torch sees."""
        kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        if kind is None:
            return ("cpu",)
        return ("cpu", *(f"{kind.type}:{index}" for index in range(torch.accelerator.device_count())))

    @classmethod
    def why_not(cls, device: str) -> str:
        """Return why torch cannot compute on the device, and what to do about it."""
        return absence.reason(device, cls.devices)

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        """Return every implementation in this folder."""
        return _IMPLEMENTATIONS

    def environment(self) -> dict[str, str]:
        """Return the versions, the device, and the flags that change speed as they are set for a `library` case.

        `native` turns the libraries off, the dtype tf32 and the flag cudnn.benchmark turn on what they are called after.
        """
        with self.activate("library"):
            found = facts.of_the_build() | told()
        return found | facts.of_the_accelerator(self._device) if self._accelerated else found

    def tensor(self, values: Array, dtype: str) -> Tensor:
        """Return a contiguous tensor on the device, its values there.

        Raises UnsupportedError for float64 on a device without.
        """
        self._refuse(self._no_double(dtype))
        storage = getattr(torch, FORMATS[dtype].storage)
        tensor = torch.from_numpy(values).to(storage, copy=True).to(self._device).contiguous()
        self._wait()
        return tensor

    def host(self, tensor: Tensor) -> Array:
        """Return a float64 copy on the host, of what every stream has computed."""
        self._wait()
        values: Array = tensor.detach().to("cpu").to(torch.float64, copy=True).numpy()
        return values

    def dtype(self, tensor: Tensor) -> str:
        """Return the tensor's dtype without torch's prefix."""
        return str(tensor.dtype).removeprefix("torch.")

    def poison(self, tensor: Tensor) -> None:
        """Fill the tensor with NaN or the smallest integer, now; one made in inference mode may be written nowhere else."""
        self._wait()
        with torch.inference_mode():
            tensor.fill_(poison_of(self.dtype(tensor)))
        self._wait()

    def _wait(self) -> None:
        """Wait for the whole device: the clock's stream does not wait for the one that tensors are made in."""
        if self._accelerated:
            torch.accelerator.synchronize(self._device)

    def clock(self) -> Clock:
        """Return the stopwatch for this device."""
        return _clock(self._device)

    @classmethod
    def clock_for(cls, tensor: Tensor) -> Clock:
        """Return device events for a tensor on an accelerator, the host's clock otherwise."""
        device = getattr(tensor, "device", None)
        return _clock(device) if isinstance(device, torch.device) else HostClock()

    @classmethod
    def count_flops(cls, call: Call) -> int | None:
        """Return what torch's flop counter sees in one call; None where it knows none of its operators, or fails.

        It knows matrix products, convolutions and attention, a multiply-add being 2, and takes all else for nothing: 0 is
        therefore not an answer. The grad mode is the caller's.
        """
        from torch.utils.flop_counter import FlopCounterMode  # takes a tenth of a second to import Triton

        try:
            with warnings.catch_warnings(), FlopCounterMode(display=False) as counter:
                warnings.simplefilter("ignore")  # of its hooks on modules, which a compiled one warns of
                call()
            return counter.get_total_flops() or None
        except Exception:  # its own, or of a call that cannot be watched: the time can be taken all the same
            return None

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether the error says that the host's or the device's memory ran out."""
        return faults.is_out_of_memory(error)

    def is_fatal(self, error: Exception) -> bool:
        """Return whether the device is lost, or its context poisoned: then waiting for it fails as well.

        A library may report such a fault in words of its own.
        """
        if not isinstance(error, RuntimeError) or faults.is_out_of_memory(error):
            return False
        return faults.is_fatal(error) or not self._answers()

    def _answers(self) -> bool:
        try:
            self._wait()
        except RuntimeError:
            return False
        return True

    def identity(self) -> Identity | None:
        """Return the UUID and PCI address of an NVIDIA GPU, the address of an AMD one, and nothing of others."""
        if not self._accelerated:
            return None
        if self._device.type != "cuda":
            return Identity()
        properties: Any = self._module.get_device_properties(self._device)
        uuid = "" if torch.version.hip else str(getattr(properties, "uuid", ""))
        return Identity(f"GPU-{uuid}" if uuid else "", _pci(properties))

    def free_memory(self) -> int | None:
        """Return the accelerator's free bytes, with those that torch keeps for later tensors; None on a processor."""
        if not self._accelerated:
            return None
        module = self._module
        if self._device.type == "mps":
            return int(module.recommended_max_memory() - module.current_allocated_memory())
        if not hasattr(module, "mem_get_info"):
            return None
        free, _ = module.mem_get_info(self._device)
        return int(free + module.memory_reserved(self._device) - module.memory_allocated(self._device))

    def peak_of(self, work: Callable[[], object]) -> int | None:
        """Run the work; return the most bytes that torch's allocator gave out beyond those before, None where it keeps no
        record.

        cuDNN's and cuBLAS's workspaces come from it too. What a library allocates by itself is not seen.
        """
        module: Any = self._module if self._accelerated else None
        if not hasattr(module, "reset_peak_memory_stats"):
            work()
            return None
        self._wait()
        module.reset_peak_memory_stats(self._device)
        before = int(module.memory_allocated(self._device))
        work()
        self._wait()
        return int(module.max_memory_allocated(self._device)) - before

    def kernel_seconds(self, call: Call, calls: int) -> float | None:
        """Return the seconds that torch's profiler adds up for the kernels of so many calls; None where it sees none."""
        if self._device.type != "cuda" or ProfilerActivity.CUDA not in supported_activities():  # type: ignore[no-untyped-call]
            return None
        self._wait()
        with profile(activities=[ProfilerActivity.CUDA]) as seen:
            for _ in range(calls):
                call()
            self._wait()
        spans = [
            event.time_range.elapsed_us()
            for event in seen.events() or ()
            if event.device_type.name == "CUDA" and not getattr(event, "is_user_annotation", False)
        ]
        return sum(spans) * 1e-6 or None

    def release(self) -> None:
        """Give the allocator's free blocks back to the driver."""
        if self._accelerated:
            self._module.empty_cache()

    def laid_out(self, tensor: Tensor, layout: str) -> Tensor:
        """Return a copy of a tensor of four axes whose second one, the channels, is the last in memory.

        Raises UnsupportedError for another layout.
        """
        if layout != "NHWC" or tensor.dim() != conv.AXES:
            raise UnsupportedError(f"torch has no layout {layout} for {tensor.dim()} axes")
        copy = conv.channels_last(tensor)
        self._wait()
        return copy

    @contextmanager
    def activate(
        self, variant: str, *, dtype: str = "float32", flags: tuple[str, ...] = ()
    ) -> Iterator[None]:
        """Set torch's flags for the variant, the dtype and the case's flags, autograd off; restore all at the end.

        Raises UnsupportedError for what the device does not have.
        """
        self._refuse(self._no_tf32(dtype) or self._no_double(dtype) or self._no_native(variant))
        with (
            switched(native=variant == "native", tf32=dtype == "tf32", benchmark=CUDNN_BENCHMARK in flags),
            sdpa.only(variant),
        ):
            yield

    def _refuse(self, reason: str) -> None:
        if reason:
            raise UnsupportedError(reason)

    def _no_tf32(self, dtype: str) -> str:
        if dtype != "tf32":
            return ""
        where, kind = self.device, self._device.type
        if kind == "cuda" and not torch.version.hip:
            major, minor = self._module.get_device_capability(self._device)
            if major >= AMPERE:
                return ""
            where = f"{self._module.get_device_name(self._device)} (compute capability {major}.{minor})"
        elif kind == "cpu":
            where = "a cpu"
        return f"no tf32 on {where}: it is a format of NVIDIA's tensor cores (Ampere and newer)"

    def _no_double(self, dtype: str) -> str:
        if dtype != "float64":
            return ""
        if self._device.type == "mps":
            return f"no float64 on {self.device}: Metal has no such numbers"
        if self._device.type == "xpu" and not self._module.get_device_properties(self._device).has_fp64:
            return f"no float64 on {self.device}: this GPU has no such numbers"
        return ""

    def _no_native(self, variant: str) -> str:
        if variant != "native" or self._device.type in ("cpu", "cuda"):
            return ""
        return f"no `native` on {self.device}: torch cannot do without the vendor's library there"


def _clock(device: torch.device) -> Clock:
    return HostClock() if device.type in ("cpu", "meta") else EventClock(TorchQueue(device))


def _pci(properties: Any) -> str:
    """Return "0000:65:00.0", which torch tells since 2.8; the empty string before."""
    parts = [getattr(properties, f"pci_{part}_id", None) for part in ("domain", "bus", "device")]
    if None in parts:
        return ""
    domain, bus, device = parts
    return f"{domain:04X}:{bus:02X}:{device:02X}.0"
