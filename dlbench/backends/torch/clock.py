"""Time work on an accelerator with device events."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import torch

from dlbench.timing.clock import Call

EVENT_RESOLUTION = 0.5e-6
"""Seconds; the CUDA runtime API states about 0.5 µs for cudaEventElapsedTime."""


class EventClock:
    """A pair of timing events on the device's current stream, around the calls.

    Written for CUDA, ROCm, XPU and MPS through `torch.Event`; not yet verified on an accelerator.
    """

    def __init__(self, device: torch.device) -> None:
        """Take the device whose current stream does the work."""
        self._device = device

    @property
    def tick(self) -> float:
        """The resolution of a device event, in seconds."""
        return EVENT_RESOLUTION

    @property
    def quantile(self) -> float:
        """The median: nothing preempts a kernel, and a device's clock wanders both ways."""
        return 0.5

    def time(self, call: Call, calls: int) -> float:
        """Return the device's seconds for so many back-to-back calls, all work of the device finished."""
        start = torch.Event(self._device, enable_timing=True)
        end = torch.Event(self._device, enable_timing=True)
        torch.accelerator.synchronize(self._device)
        start.record()
        for _ in range(calls):
            call()
        end.record()
        torch.accelerator.synchronize(self._device)
        return float(start.elapsed_time(end)) * 1e-3

    def now(self) -> float:
        """Return host seconds since some fixed moment."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Let host time pass."""
        time.sleep(seconds)

    def observations(self) -> Mapping[str, Any]:
        """Return nothing."""
        return {}
