"""torch as a backend."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, ClassVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from dlbench.backends.backend import Backend, BackendSpec, Implementation, Tensor, collect
from dlbench.backends.torch import SPEC, conv, matmul, softmax, stream
from dlbench.backends.torch.clock import EventClock
from dlbench.errors import UnsupportedError
from dlbench.ops.dtypes import Array
from dlbench.timing.clock import Call, Clock, HostClock

_IMPLEMENTATIONS = collect(conv, matmul, softmax, stream)


OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "std::bad_alloc")
"""How torch's allocator for processors, and a library that it calls, say so in a RuntimeError."""


class TorchBackend(Backend):
    """Tensors on the processor, with torch's thread pool limited to the run's threads."""

    spec: ClassVar[BackendSpec] = SPEC

    def __init__(self, device: str, threads: int) -> None:
        """Take the device and set torch's threads.

        Raises UnsupportedError for an accelerator: this version measures processors only.
        """
        super().__init__(device, threads)
        self._device = torch.device(device)
        if self._device.type != "cpu":
            raise UnsupportedError(
                f"this version measures torch on CPUs only, not on {device}; use --device cpu"
            )
        torch.set_num_threads(threads)

    @classmethod
    def devices(cls) -> tuple[str, ...]:
        """Return the processor and the accelerators that torch sees."""
        kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        if kind is None:
            return ("cpu",)
        return ("cpu", *(f"{kind.type}:{index}" for index in range(torch.accelerator.device_count())))

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        """Return every implementation in this folder."""
        return _IMPLEMENTATIONS

    def environment(self) -> dict[str, str]:
        """Return torch's version, its libraries' and the flags that change speed."""
        return {
            "torch": str(torch.__version__),  # its own class would import torch wherever it is unpickled
            "onednn": _built_with(r"MKL-DNN v(\S+)"),
            "mkl": _built_with(r"Math Kernel Library Version (\S+)"),
            "cpu capability": torch.backends.cpu.get_cpu_capability(),
            "threads": str(torch.get_num_threads()),
            "onednn enabled": str(torch.backends.mkldnn.enabled),
            "nnpack available": str(torch.backends.nnpack.is_available()),  # type: ignore[no-untyped-call]
            "float32 matmul precision": torch.get_float32_matmul_precision(),
            "cudnn.benchmark": str(torch.backends.cudnn.benchmark),
            "deterministic": str(torch.are_deterministic_algorithms_enabled()),
        }

    def tensor(self, values: Array, dtype: str) -> Tensor:
        """Return a contiguous tensor on the device."""
        return torch.from_numpy(values).to(self._device, getattr(torch, dtype), copy=True).contiguous()

    def host(self, tensor: Tensor) -> Array:
        """Return a float64 copy on the host."""
        values: Array = tensor.detach().to("cpu", torch.float64, copy=True).numpy()
        return values

    def dtype(self, tensor: Tensor) -> str:
        """Return the tensor's dtype without torch's prefix."""
        return str(tensor.dtype).removeprefix("torch.")

    def poison(self, tensor: Tensor) -> None:
        """Fill the tensor with NaN; one made in inference mode may be written nowhere else."""
        with torch.inference_mode():
            tensor.fill_(float("nan"))

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
        try:
            with warnings.catch_warnings(), FlopCounterMode(display=False) as counter:
                warnings.simplefilter("ignore")  # of its hooks on modules, which a compiled one warns of
                call()
            return counter.get_total_flops() or None
        except Exception:  # its own, or of a call that cannot be watched: the time can be taken all the same
            return None

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether the error says that memory ran out."""
        if isinstance(error, MemoryError | torch.OutOfMemoryError):
            return True
        return isinstance(error, RuntimeError) and any(phrase in str(error) for phrase in OUT_OF_MEMORY)

    @contextmanager
    def activate(
        self,
        variant: str,
        *,
        dtype: str = "float32",  # noqa: ARG002
        flags: tuple[str, ...] = (),  # noqa: ARG002
    ) -> Iterator[None]:
        """Turn vendor libraries off for `native` and autograd off for all, and restore both at the end."""
        with ExitStack() as flags:
            flags.enter_context(torch.inference_mode())
            if variant == "native":
                flags.enter_context(_without_libraries())
            yield


@contextmanager
def _without_libraries() -> Iterator[None]:
    """Turn off oneDNN, NNPACK (which takes over some convolutions of 16 images or more) and cuDNN.

    Not by their `flags` context managers, which set the TF32 and precision flags as well.
    """
    onednn: Any = torch.backends.mkldnn  # `enabled` is a property of the module, which the types do not know
    cudnn: Any = torch.backends.cudnn
    nnpack: Any = torch.backends.nnpack
    before = onednn.enabled, cudnn.enabled
    (nnpack_before,) = nnpack.set_flags(False)
    onednn.enabled = cudnn.enabled = False
    try:
        yield
    finally:
        onednn.enabled, cudnn.enabled = before
        nnpack.set_flags(nnpack_before)


def _clock(device: torch.device) -> Clock:
    return HostClock() if device.type in ("cpu", "meta") else EventClock(device)


def _built_with(pattern: str) -> str:
    found = re.search(pattern, torch.__config__.show())
    return found[1] if found else "none"
