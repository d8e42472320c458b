"""torch as a backend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import torch

from dlbench.backends.backend import Backend, BackendSpec, Implementation, Tensor, collect
from dlbench.backends.torch import SPEC, conv, matmul, softmax, stream
from dlbench.backends.torch.clock import EventClock
from dlbench.ops.dtypes import Array
from dlbench.timing.clock import Clock, HostClock

_IMPLEMENTATIONS = collect(conv, matmul, softmax, stream)


class TorchBackend(Backend):
    """Tensors on the processor, with torch's thread pool limited to the run's threads.

    Accelerators are not measured by this version: `devices` names the processor only.
    """

    spec: ClassVar[BackendSpec] = SPEC

    def __init__(self, device: str, threads: int) -> None:
        """Take the device and set torch's threads."""
        super().__init__(device, threads)
        self._device = torch.device(device)
        torch.set_num_threads(threads)

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        """Return every implementation in this folder."""
        return _IMPLEMENTATIONS

    def environment(self) -> dict[str, str]:
        """Return torch's version, its libraries' and the flags that change speed."""
        return {
            "torch": torch.__version__,
            "onednn": _built_with(r"MKL-DNN v(\S+)"),
            "mkl": _built_with(r"Math Kernel Library Version (\S+)"),
            "cpu capability": torch.backends.cpu.get_cpu_capability(),
            "threads": str(torch.get_num_threads()),
            "onednn enabled": str(torch.backends.mkldnn.enabled),
            "float32 matmul precision": torch.get_float32_matmul_precision(),
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
        """Fill the tensor with NaN."""
        tensor.fill_(float("nan"))

    @classmethod
    def clock_for(cls, tensor: Tensor) -> Clock:
        """Return device events for a tensor on an accelerator, the host's clock otherwise."""
        device = getattr(tensor, "device", None)
        if isinstance(device, torch.device) and device.type not in ("cpu", "meta"):
            return EventClock(device)
        return HostClock()

    def is_out_of_memory(self, error: Exception) -> bool:
        """Return whether the error says that memory ran out; torch's allocator on a processor raises RuntimeError."""
        return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)

    @contextmanager
    def activate(self, variant: str) -> Iterator[None]:
        """Turn oneDNN off for `native`, autograd off for all, and restore both at the end."""
        onednn = torch.backends.mkldnn
        before = onednn.enabled
        onednn.enabled = before and variant != "native"
        try:
            with torch.inference_mode():
                yield
        finally:
            onednn.enabled = before


def _built_with(pattern: str) -> str:
    found = re.search(pattern, torch.__config__.show())
    return found[1] if found else "none"
