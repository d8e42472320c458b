"""Warm up, choose a batch, and take samples; every loop is bounded in time."""

from __future__ import annotations

import gc
import math
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from dlbench.timing.clock import Call, Clock

TICKS_PER_SAMPLE = 1000
"""A sample this many clock ticks long is read to 0.1 %."""
PROBES = 5
"""Individually timed calls behind the first guess of the batch."""
SURELY_LONG = 100
"""A call that takes so many times the shortest sample is no short call that was held up, and is not probed again."""
MOST_CALLS = 10_000_000
"""A batch is never longer, so that a call that costs nothing ends."""
SETTLED = 0.01
"""Warm-up ends when two successive windows agree this well."""
MOST_WINDOWS = 10


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds per call of one timed batch, and whether the scheduler took the processor away meanwhile."""

    seconds: float
    switches: int = 0


def warm_up(clock: Clock, call: Call, limit: float) -> None:
    """Call until two successive windows agree within 1 %, for at most `limit` seconds.

    A window lasts a tenth of the limit. The calls before this one (verification) have done the functional
    warm-up: compilation, lazy loading, first touch of memory.
    """
    window = limit / MOST_WINDOWS
    end = clock.now() + limit
    before = 0.0
    while clock.now() < end:
        calls = 0
        spent = 0.0
        while spent < window:
            spent += clock.time(call, 1)
            calls += 1
        now = spent / calls
        if before > 0 and abs(now - before) <= SETTLED * before:
            return
        before = now


@dataclass(frozen=True, slots=True)
class Batch:
    """How many calls make a sample, and about how many seconds it lasts."""

    calls: int
    seconds: float


def calibrate(clock: Clock, call: Call, minimum: float) -> Batch:
    """Return the batch that makes a sample of at least `minimum` seconds and 1000 clock ticks.

    Individually timed calls give the first guess. They include the stopwatch's own cost, so that the guess is
    too small for a very short call: it is grown until a batch really lasts.
    """
    wanted = max(minimum, TICKS_PER_SAMPLE * clock.tick)
    first = clock.time(call, 1)
    if first >= SURELY_LONG * wanted:
        return Batch(1, first)
    single = min([first, *(clock.time(call, 1) for _ in range(PROBES - 1))])
    if single >= wanted:
        return Batch(1, single)
    calls = _batch(wanted, max(single, clock.tick))  # a call that is read as nothing takes less than a tick
    while True:
        spent = clock.time(call, calls)
        if spent >= wanted or calls == MOST_CALLS:
            return Batch(calls, spent)
        calls = min(
            MOST_CALLS, max(calls * 2, min(calls * 10, _batch(wanted, max(spent, clock.tick) / calls)))
        )


def _batch(wanted: float, single: float) -> int:
    """Return the calls that last as long as wanted, and a tenth more: the next batch may be a little faster."""
    return min(MOST_CALLS, max(1, math.ceil(1.1 * wanted / max(single, 1e-9))))


def hot_samples(clock: Clock, call: Call, batch: Batch, seconds: float, at_least: int = 1) -> list[Sample]:
    """Take samples of back-to-back calls for so many seconds, and at least so many.

    One uncounted batch comes first where it is short against the time given: another case ran just before and left
    the caches full of its data. A batch that is not short refills them itself in a small part of its time.
    """
    with _undisturbed_by_collector():
        if batch.seconds < seconds / 10:
            clock.time(call, batch.calls)
        return _take(clock, lambda: clock.time(call, batch.calls) / batch.calls, seconds, at_least)


def cold_samples(clock: Clock, one: Callable[[], float], seconds: float, at_least: int = 1) -> list[Sample]:
    """Take samples for so many seconds; `one` empties the cache, then times a single call and returns its seconds."""
    with _undisturbed_by_collector():
        return _take(clock, one, seconds, at_least)


def _take(clock: Clock, one: Callable[[], float], seconds: float, at_least: int) -> list[Sample]:
    samples: list[Sample] = []
    end = clock.now() + seconds
    while len(samples) < at_least or clock.now() < end:
        before = involuntary_switches()
        spent = one()
        samples.append(Sample(spent, involuntary_switches() - before))
    return samples


def involuntary_switches() -> int:
    """Return how often the scheduler has taken the processor from a thread of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


@contextmanager
def _undisturbed_by_collector() -> Iterator[None]:
    """Keep Python's garbage collector out of the samples, as timeit does."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
