"""The Queue of one accelerator through torch: a stream of its own, events, graphs and what holds it."""

from __future__ import annotations

import ctypes
import time
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import cache, cached_property
from typing import Any

import torch

from dlbench.backends.torch import faults
from dlbench.backends.torch.hold import Hold, hold_for
from dlbench.errors import UnsupportedError
from dlbench.timing.clock import Call
from dlbench.timing.queue import Mark

EVENT_RESOLUTION = 0.5e-6
"""Seconds; the CUDA runtime API states about 0.5 µs for cudaEventElapsedTime. The others state none."""
FLUSH_FACTOR = 2
"""How many times the size of the cache is written over to flush it."""
CACHES = {"hip": 256 * 2**20, "xpu": 408 * 2**20, "mps": 96 * 2**20}
"""Bytes of the largest last-level cache of a kind of device, where torch does not tell its own: AMD's Infinity Cache, which
lies behind the L2 (CDNA 3 white paper, 2023: 256 MB); the L2 of Intel's Data Center GPU Max (product brief, 2023: 408 MB);
twice the system-level cache of an Apple M1 Max, for an Ultra (AnandTech, 2021: 48 MB)."""
OTHER_CACHE = 256 * 2**20
SYNCHRONISED = "called a synchronizing"
"""How torch's synchronisation debug mode warns."""
GRAPHS = {"cuda": "CUDAGraph", "xpu": "XPUGraph"}


class TorchQueue:
    """A stream of its own on one device; on a Mac, whose torch has only one, that one."""

    def __init__(self, device: torch.device) -> None:
        """Take the device; nothing is asked of it before it is needed."""
        self._device = device

    @property
    def resolution(self) -> float:
        """The resolution of a device event, in seconds."""
        return EVENT_RESOLUTION

    @cached_property
    def cache_bytes(self) -> int:
        """The size of the last-level cache in bytes."""
        return last_level_cache(self._device)

    def active(self) -> AbstractContextManager[object]:
        """Make this torch's current device and stream."""
        context: AbstractContextManager[object] = (
            nullcontext() if self._stream is None else self._module.stream(self._stream)
        )
        return context

    def record(self) -> Mark:
        """Put an event into the stream."""
        event = torch.Event(self._device, enable_timing=True)
        if self._stream is None:
            event.record()
        else:
            event.record(self._stream)
        return event

    def elapsed(self, start: Mark, end: Mark) -> float:
        """Return the seconds between two events."""
        return float(start.elapsed_time(end)) * 1e-3

    def wait(self) -> None:
        """Wait for the stream."""
        if self._stream is None:
            self._module.synchronize()
        else:
            self._stream.synchronize()

    def wait_device(self) -> None:
        """Wait for every stream of the device."""
        torch.accelerator.synchronize(self._device)

    def hold(self, limit: float) -> None:
        """Put in a kernel that waits for `release`, or where none can be compiled, one that takes 5 ms.

        Raises UnsupportedError on devices other than CUDA's and ROCm's.
        """
        if self._device.type != "cuda":
            raise UnsupportedError(f"torch cannot hold back what is put into a stream of {self._device.type}")
        with self.active():
            self._hold.start(self._stream, limit)

    def release(self) -> bool:
        """Let the held work go; return whether it was still held."""
        return self._hold.release()

    def flush(self) -> None:
        """Write over twice the cache's size; lines that were set to persist in it are let go."""
        with self.active(), torch.inference_mode():
            if self._device.type == "cuda" and (reset := _reset_of_persisting_lines()) is not None:
                reset()
            self._overwritten.zero_()

    def capture(self, work: Callable[[], None]) -> Call:
        """Record the work as a graph, and return its replay, which goes to the stream that is current then.

        Raises UnsupportedError where torch has no graphs for the device, and where the work waits for the device or does
        what else a graph cannot hold.
        """
        graph_class = getattr(self._module, GRAPHS.get(self._device.type, ""), None)
        if graph_class is None:
            raise UnsupportedError(f"torch has no graphs on {self._device.type}")
        graph = graph_class()
        try:
            with self.active(), self._module.graph(graph, stream=self._stream):
                work()
        except RuntimeError as error:
            if refusal := faults.capture_refusal(error):
                raise UnsupportedError(f"it cannot be captured in a graph: {refusal}") from error
            raise
        replay: Call = graph.replay
        return replay

    def synchronises(self, call: Call) -> bool:
        """Make the call once and return whether torch warned of waiting for the device; False where it has no such mode.

        Only what torch itself does is seen, not a wait in a library or in the user's own extension.
        """
        if self._device.type != "cuda":
            call()
            return False
        before = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as caught, self.active():
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
            try:
                call()
            finally:
                torch.cuda.set_sync_debug_mode(before)
        return any(SYNCHRONISED in str(warning.message) for warning in caught)

    def now(self) -> float:
        """Return host seconds since some fixed moment."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Let host time pass."""
        time.sleep(seconds)

    @cached_property
    def _module(self) -> Any:
        return torch.get_device_module(self._device)

    @cached_property
    def _stream(self) -> Any:
        stream_class = getattr(self._module, "Stream", None)
        return None if stream_class is None else stream_class(self._device)

    @cached_property
    def _hold(self) -> Hold:
        return hold_for(self._device)

    @cached_property
    def _overwritten(self) -> torch.Tensor:
        return torch.empty(FLUSH_FACTOR * self.cache_bytes, dtype=torch.uint8, device=self._device)


def last_level_cache(device: torch.device) -> int:
    """Return the bytes of the device's last-level cache as torch tells it, else of the largest of its kind."""
    if device.type == "cuda":
        told = int(getattr(torch.cuda.get_device_properties(device), "L2_cache_size", 0))
        return max(told, CACHES["hip"]) if torch.version.hip else told or OTHER_CACHE
    if device.type == "xpu":
        told = int(getattr(torch.xpu.get_device_properties(device), "last_level_cache_size", 0))
        return told or CACHES["xpu"]
    return CACHES.get(device.type, OTHER_CACHE)


@cache
def _reset_of_persisting_lines() -> Callable[[], int] | None:
    """Return the driver's cuCtxResetPersistingL2Cache, which torch does not bind; None where the driver has none."""
    try:
        reset: Callable[[], int] = ctypes.CDLL("libcuda.so.1").cuCtxResetPersistingL2Cache
    except (OSError, AttributeError):
        return None
    return reset
