"""The Clock: the stopwatch of a backend on a device."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any, Protocol

from dlbench.statistics import LOW_QUANTILE

Call = Callable[[], Any]
"""A prepared computation: no arguments, returns its output tensor or a tuple of them."""


class Clock(Protocol):
    """Times calls on one device; a fake one drives the tests."""

    @property
    def tick(self) -> float:
        """The smallest step of this clock that can be told apart, in seconds."""

    @property
    def quantile(self) -> float:
        """Which quantile of its samples is the headline: low on a processor, the median on an accelerator."""

    def time(self, call: Call, calls: int) -> float:
        """Return the seconds that so many back-to-back calls took, their work finished."""

    def now(self) -> float:
        """Return host seconds since some fixed moment; for budgets and warm-up, not for samples."""

    def sleep(self, seconds: float) -> None:
        """Let host time pass."""

    def observations(self) -> Mapping[str, Any]:
        """Return what was seen beside the times since this was asked last, as JSON-able values by name."""


class HostClock:
    """The processor's own clock: right wherever a call returns only when its work is done."""

    def __init__(self) -> None:
        self._tick = time.get_clock_info("perf_counter").resolution

    @property
    def tick(self) -> float:
        """The resolution that the operating system states for its performance counter, in seconds."""
        return self._tick

    @property
    def quantile(self) -> float:
        """The low quantile: other programs make a processor's samples longer, never shorter."""
        return LOW_QUANTILE

    def time(self, call: Call, calls: int) -> float:
        """Return the seconds that so many back-to-back calls took.

        Four calls stand in each turn of the loop, so that the loop itself costs less than timeit's
        (benchmarks/harness_cost.py).
        """
        fours, rest = repeat(None, calls // 4), repeat(None, calls % 4)
        start = time.perf_counter_ns()
        for _ in fours:
            call()
            call()
            call()
            call()
        for _ in rest:
            call()
        return (time.perf_counter_ns() - start) * 1e-9

    def now(self) -> float:
        """Return host seconds since some fixed moment."""
        return time.perf_counter()

    def sleep(self, seconds: float) -> None:
        """Let host time pass."""
        time.sleep(seconds)

    def observations(self) -> Mapping[str, Any]:
        """Return nothing: what disturbs a processor is read elsewhere."""
        return {}
