"""Measure one function of the user's own, in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dlbench.backends.catalogue import backends
from dlbench.runner.rounds import MOSTLY
from dlbench.statistics import Interval, estimate, median_of_medians
from dlbench.timing.clock import Call, Clock, HostClock
from dlbench.timing.sampling import Sample, calibrate, hot_samples, warm_up
from dlbench.timing.stopping import Precision
from dlbench.units import format_duration, significant

MINIMUM_SAMPLE = 1e-3
WINDOW = 0.1
"""Seconds of one window of samples; windows stand in for rounds, since a process of its own is not to be had."""
FUNCTIONAL_CALLS = 3


@dataclass(frozen=True)
class Timing:
    """How long one call of a function takes.

    `time` is the headline in seconds with its 95 % interval: the low quantile on a processor, the median on an
    accelerator. It was taken in one process: another process may differ by more than the interval says.
    """

    name: str
    time: Interval
    median: float
    samples: int
    windows: int
    clock: str
    flops: int | None = None
    traffic: int | None = None
    disturbed: float = field(default=0.0)

    @property
    def gflops(self) -> float | None:
        """10⁹ operations per second, None where the operations of a call were not given."""
        return None if self.flops is None else self.flops / self.time.value / 1e9

    @property
    def gbps(self) -> float | None:
        """10⁹ bytes per second, None where the bytes of a call were not given."""
        return None if self.traffic is None else self.traffic / self.time.value / 1e9

    def __repr__(self) -> str:
        low, high = format_duration(self.time.low), format_duration(self.time.high)
        parts = [f"{self.name}: {format_duration(self.time.value)} [{low}, {high}]"]
        if self.gflops is not None:
            parts.append(f"{significant(self.gflops)} GFLOP/s")
        if self.gbps is not None:
            parts.append(f"{significant(self.gbps)} GB/s")
        parts.append(f"median {format_duration(self.median)}, {self.samples} samples")
        if self.disturbed > MOSTLY:
            parts.append(f"noisy: {self.disturbed:.0%} of samples preempted")
        return ", ".join(parts)


def measure(
    function: Callable[..., Any],
    *args: Any,
    name: str = "",
    flops: int | None = None,
    traffic: int | None = None,
    precision: float = 0.02,
    budget: float = 5.0,
    clock: Clock | None = None,
    **kwargs: Any,
) -> Timing:
    """Return how long one call `function(*args, **kwargs)` takes.

    `flops` and `traffic` are the operations and bytes of one call, for rates. It stops when the interval is within
    `precision` or after `budget` seconds. The clock is that of the framework whose tensors the call takes or returns: a
    function on an accelerator is timed by device events. Whatever the function raises is raised. Raises ValueError unless
    budget and precision are positive.
    """
    if budget <= 0 or precision <= 0:
        raise ValueError(f"budget ({budget}) and precision ({precision}) must be positive")
    call: Call = partial(function, *args, **kwargs) if args or kwargs else function
    result = call()
    clock = clock or clock_for((result, *args, *kwargs.values()))
    for _ in range(FUNCTIONAL_CALLS - 1):
        call()
    end = clock.now() + budget
    warm_up(clock, call, min(WINDOW, budget / 10))
    windows = _windows(clock, call, end, precision)
    taken = [sample for window in windows for sample in window]
    rounds = [[sample.seconds for sample in window] for window in windows]
    return Timing(
        name=name or getattr(function, "__name__", type(function).__name__),
        time=estimate(rounds, clock.quantile),
        median=median_of_medians(rounds),
        samples=len(taken),
        windows=len(windows),
        clock=type(clock).__name__,
        flops=flops,
        traffic=traffic,
        disturbed=sum(sample.switches > 0 for sample in taken) / len(taken),
    )


def _windows(clock: Clock, call: Call, end: float, precision: float) -> list[list[Sample]]:
    batch = calibrate(clock, call, MINIMUM_SAMPLE)
    rule = Precision(precision, quantile=clock.quantile)
    windows: list[list[Sample]] = []
    while True:
        windows.append(hot_samples(clock, call, batch, min(WINDOW, max(0.0, end - clock.now()))))
        rounds = [[sample.seconds for sample in window] for window in windows]
        if clock.now() >= end or rule.met(rounds):
            return windows


def clock_for(values: Iterable[Any]) -> Clock:
    """Return the clock of the framework that owns one of the values on an accelerator, the host's otherwise."""
    known = backends()
    for value in _flattened(values):
        spec = known.get(type(value).__module__.partition(".")[0])
        if spec is not None and not isinstance(clock := spec.load().clock_for(value), HostClock):
            return clock
    return HostClock()


def _flattened(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flattened(value)
        elif isinstance(value, dict):
            yield from _flattened(value.values())
        else:
            yield value
