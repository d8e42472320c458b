"""Measure one function of the user's own, in this process."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from dlbench.backends.backend import Backend
from dlbench.backends.catalogue import backends
from dlbench.runner.verdict import MOSTLY
from dlbench.statistics import Interval, estimate, median_of_medians
from dlbench.timing.clock import Call, Clock, HostClock
from dlbench.timing.sampling import Sample, calibrate, hot_samples, warm_up
from dlbench.timing.stopping import Precision
from dlbench.units import format_count, format_duration, significant

MINIMUM_SAMPLE = 1e-3
WINDOW = 0.1
"""Seconds of one window of samples; windows stand in for rounds, since a process of its own is not to be had."""
WARM_UP_SHARE = 0.1
"""Of the budget, what a function may warm up at most."""
FUNCTIONAL_CALLS = 3

Windows = Sequence[Sequence[Sample]]


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
        """10⁹ operations per second, None where the operations of a call were neither given nor counted."""
        return None if self.flops is None else self.flops / self.time.value / 1e9

    @property
    def gbps(self) -> float | None:
        """10⁹ bytes per second, None where the bytes of a call were not given."""
        return None if self.traffic is None else self.traffic / self.time.value / 1e9

    def __repr__(self) -> str:
        value, low, high = (format_duration(seconds) for seconds in self.time)
        parts = [f"{self.name}: {value} ±{self.time.half_width:.1%} [{low}, {high}]"]
        if self.gflops is not None:
            parts.append(f"{significant(self.gflops)} GFLOP/s")
        if self.gbps is not None:
            parts.append(f"{significant(self.gbps)} GB/s")
        parts.append(f"median {format_duration(self.median)}")
        parts.append(f"{_counted(self.samples, 'sample')} in {_counted(self.windows, 'window')}")
        if self.disturbed > MOSTLY:
            parts.append(f"noisy: {self.disturbed:.0%} of samples preempted")
        return ", ".join(parts)


def _counted(count: int, noun: str) -> str:
    return f"{format_count(count)} {noun}" + ("" if count == 1 else "s")


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

    `flops` and `traffic` are the operations and bytes of one call, for rates. Where `flops` is not given and the call takes
    or returns a torch tensor, the function is called once more, untimed, under torch's flop counter. That knows matrix
    products, convolutions and attention and leaves all else out; where it knows nothing of the call, there is no rate.

    It stops when the interval is within `precision` or after `budget` seconds. The clock is that of the framework whose
    tensors the call takes or returns: a function on an accelerator is timed by device events. Whatever the function raises
    is raised. Raises ValueError unless budget and precision are positive.
    """
    check_limits(budget, precision)
    call: Call = partial(function, *args, **kwargs) if args or kwargs else function
    clock, flops = make_ready(call, clock, flops)
    end = clock.now() + budget
    with spare_the_collector():
        warm_up(clock, call, min(WINDOW, budget * WARM_UP_SHARE))
        windows = _windows(clock, call, end, precision)
    return timing(name or name_of(function), windows, clock, flops, traffic)


def _windows(clock: Clock, call: Call, end: float, precision: float) -> Windows:
    batch = calibrate(clock, call, MINIMUM_SAMPLE)
    rule = Precision(precision, quantile=clock.quantile)
    windows: list[list[Sample]] = []
    while True:
        windows.append(hot_samples(clock, call, batch, min(WINDOW, max(0.0, end - clock.now()))))
        if clock.now() >= end or rule.met(seconds_of(windows)):
            return windows


def check_limits(budget: float, precision: float) -> None:
    """Raise ValueError unless both are positive."""
    if not (budget > 0 and precision > 0):
        raise ValueError(f"budget ({budget}) and precision ({precision}) must be positive")


def make_ready(call: Call, clock: Clock | None, flops: int | None = None) -> tuple[Clock, int | None]:
    """Call it until only the work is left (compilation and lazy loading done); return its clock and its operations.

    A clock and operations that are given stand. The output, which may be large, is not kept.
    """
    values = (call(), *_arguments(call))
    for _ in range(FUNCTIONAL_CALLS - 1):
        call()
    if flops is None:
        flops = _count_flops(call, values)
    return clock or clock_for(values), flops


def _arguments(call: Call) -> Iterable[Any]:
    return (*call.args, *call.keywords.values()) if isinstance(call, partial) else ()


def name_of(function: Callable[..., Any]) -> str:
    """Return a function's own name, or its class's where it has none."""
    while isinstance(function, partial):
        function = function.func
    return str(getattr(function, "__name__", type(function).__name__))


@contextmanager
def spare_the_collector() -> Iterator[None]:
    """Let the collections before each window pass over what there is already.

    They take 0.1 s each where frameworks are loaded, as in a notebook: as long as a window. Where the user has frozen
    objects themselves, they are cheap already, and nothing is touched.
    """
    ours = gc.get_freeze_count() == 0
    if ours:
        gc.collect()
        gc.freeze()
    try:
        yield
    finally:
        if ours:
            gc.unfreeze()


def timing(
    name: str, windows: Windows, clock: Clock, flops: int | None = None, traffic: int | None = None
) -> Timing:
    """Return what windows of samples say of one call."""
    seconds = seconds_of(windows)
    taken = [sample for window in windows for sample in window]
    return Timing(
        name=name,
        time=estimate(seconds, clock.quantile),
        median=median_of_medians(seconds),
        samples=len(taken),
        windows=len(windows),
        clock=type(clock).__name__,
        flops=flops,
        traffic=traffic,
        disturbed=sum(sample.switches > 0 for sample in taken) / len(taken),
    )


def seconds_of(windows: Windows) -> list[list[float]]:
    """Return the windows' seconds per call, as statistics take rounds."""
    return [[sample.seconds for sample in window] for window in windows]


def clock_for(values: Iterable[Any]) -> Clock:
    """Return the clock of the framework that owns one of the values on an accelerator, the host's otherwise."""
    for backend, value in _owned(values):
        if not isinstance(clock := backend.clock_for(value), HostClock):
            return clock
    return HostClock()


def _count_flops(call: Call, values: Iterable[Any]) -> int | None:
    """Return the operations of one call by the counter of the first framework that owns one of the values and has one."""
    owners = dict.fromkeys(backend for backend, _ in _owned(values))
    return next((flops for backend in owners if (flops := backend.count_flops(call)) is not None), None)


def _owned(values: Iterable[Any]) -> Iterator[tuple[type[Backend], Any]]:
    """Yield each value that a framework owns, subclasses of its tensors too, with the framework's backend."""
    known = backends()
    for value in _flattened(values):
        homes = (kind.__module__.partition(".")[0] for kind in type(value).__mro__)
        if spec := next((known[home] for home in homes if home in known), None):
            yield spec.load(), value


def _flattened(values: Iterable[Any]) -> Iterable[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flattened(value)
        elif isinstance(value, dict):
            yield from _flattened(value.values())
        else:
            yield value
