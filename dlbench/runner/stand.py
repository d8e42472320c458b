"""The stand that a worker's calls are timed on: what differs between a processor and an accelerator."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlbench.devices.cpu import available_memory
from dlbench.errors import UnsupportedError
from dlbench.runner.memory import peak_of
from dlbench.timing.clock import Call, Clock
from dlbench.timing.flush import CacheFlush
from dlbench.timing.sampling import Batch, Sample, calibrate, cold_samples, hot_samples, warm_up


@dataclass(frozen=True, slots=True)
class Timed:
    """A verified call that is warm: what the stopwatch calls, and how many of the case's calls one of these makes."""

    call: Call
    batch: Batch
    cold: bool
    replays: int = 1

    @property
    def calls(self) -> int:
        """The calls behind one sample."""
        return self.batch.calls * self.replays


@dataclass(frozen=True, slots=True)
class Taken:
    """The samples of one turn, what was read beside them, and why the device was slowed down, empty where it was not."""

    samples: Sequence[Sample]
    conditions: dict[str, Any] = field(default_factory=dict)
    throttled: str = ""


class Stand(ABC):
    """Warms up, chooses the batch and takes the samples of one worker's cases."""

    def __init__(self, clock: Clock, minimum: float) -> None:
        """Take the stopwatch, and the shortest sample in seconds."""
        self.clock = clock
        self.minimum = minimum

    def rehearse(self, call: Call) -> None:  # noqa: B027 - verification was rehearsal enough on a processor
        """Let everything happen that only a first call does."""

    def warm_up(self, call: Call, limit: float) -> None:
        """Call until the time of a call is steady, for at most so many seconds."""
        warm_up(self.clock, call, limit)

    def timed(self, call: Call, *, cold: bool) -> Timed:
        """Return the call with a batch that lasts; a cold sample is one call."""
        return Timed(call, Batch(1, 0.0) if cold else calibrate(self.clock, call, self.minimum), cold)

    def graph(self, calls: Iterable[Call], *, cold: bool) -> Timed:  # noqa: ARG002 - for overriding
        """Return the calls recorded as a graph. Raises UnsupportedError where there are no graphs."""
        raise UnsupportedError("launch: graph needs an accelerator; a processor has no graphs to replay")

    def copies(self, held: int) -> int:  # noqa: ARG002 - for overriding
        """Return how many copies of a case's tensors, of so many bytes, a cold graph has to rotate over."""
        return 1

    @abstractmethod
    def take(self, timed: Timed, seconds: float, at_least: int) -> Taken:
        """Take samples for so many seconds and at least so many."""

    @abstractmethod
    def peak_of(self, work: Callable[[], object]) -> int | None:
        """Run the work; return how many bytes more than before it held at most, None where that cannot be told."""

    @abstractmethod
    def free_memory(self) -> int:
        """Return the bytes that tensors may take."""

    def energy(self, timed: Timed) -> float | None:  # noqa: ARG002 - for overriding
        """Return the joules of one call, None where nobody counts them."""
        return None


class HostStand(Stand):
    """A processor: the call returns when its work is done."""

    def __init__(self, clock: Clock, minimum: float, cache_bytes: int, threads: int) -> None:
        """Take the size of the last-level cache and the threads that overwrite it."""
        super().__init__(clock, minimum)
        self._cache_bytes = cache_bytes
        self._threads = threads
        self._flush: CacheFlush | None = None

    def take(self, timed: Timed, seconds: float, at_least: int) -> Taken:
        """Take hot or cold samples."""
        if not timed.cold:
            return Taken(hot_samples(self.clock, timed.call, timed.batch, seconds, at_least))
        if self._flush is None:
            self._flush = CacheFlush(self._cache_bytes, self._threads)
        return Taken(cold_samples(self.clock, self._cold(timed.call, self._flush), seconds, at_least))

    def _cold(self, call: Call, flush: CacheFlush) -> Callable[[], float]:
        def one() -> float:
            flush()
            return self.clock.time(call, 1)

        return one

    def peak_of(self, work: Callable[[], object]) -> int | None:
        """Return the growth of the process's resident memory."""
        return peak_of(work)

    def free_memory(self) -> int:
        """Return the machine's free memory."""
        return available_memory()


def rotation(held: int, cache_bytes: int, most: int) -> int:
    """Return how many copies of `held` bytes pass twice the cache, so that none is still in it when its turn comes again.

    Raises UnsupportedError where that takes more than `most`.
    """
    copies = math.ceil(2 * cache_bytes / max(1, held)) + 1
    if copies > most:
        raise UnsupportedError(
            f"a cold graph rotates over copies of its inputs until they pass twice the cache: {copies} copies here, more "
            f"than {most}; measure this size with launch: eager"
        )
    return copies
