"""The stand of an accelerator: device events, a watch on the board's clocks, graphs, energy."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from dlbench.backends.backend import Backend
from dlbench.runner.stand import Stand, Taken, Timed, rotation
from dlbench.timing.clock import Call
from dlbench.timing.event_clock import MINIMUM_WARM_UP, EventClock
from dlbench.timing.sampling import Batch, Sample, calibrate, cold_samples, hot_samples
from dlbench.timing.throttle import Gauge, Reading, steady

REPLAYS = 10
"""Replays of a graph in one sample, so that the start of a replay is a small part of it."""
MOST_COPIES = 256
"""Of a case's tensors, for a cold graph: beyond it the graph itself would be what is measured."""
WARM_UP_BATCH = 0.01
"""Seconds of one batch of a warm-up: short beside the whole, long beside the host's part of it."""
ENERGY_SECONDS = 2.0
"""How long the loop behind a figure of energy lasts: NVML's counter moves every 20 to 100 ms."""
THROTTLE_LIMIT = 10.0
"""Seconds that a turn waits for a slowed-down board at most; those after it do not wait again before it has recovered."""


class Board(Gauge, Protocol):
    """A board that also counts the joules it has taken."""

    def energy_j(self) -> float | None:
        """Return the joules since the driver was loaded, None where nobody counts them."""


class AcceleratorStand(Stand):
    """A device that works behind the host's back, timed by events on a queue of its own."""

    clock: EventClock

    def __init__(self, backend: Backend, clock: EventClock, minimum: float, board: Board | None) -> None:
        """Take who computes, and the board as its driver shows it, None where nothing does."""
        super().__init__(clock, minimum)
        self.backend = backend
        self._board = board
        self._patience = THROTTLE_LIMIT

    def rehearse(self, call: Call) -> None:
        """Make three calls, each waited for: lazy loading behind a held queue would never end."""
        self.clock.rehearse(call)

    def warm_up(self, call: Call, limit: float) -> None:
        """Keep the board at work for a quarter of a second, then call until the time of a call is steady.

        In batches that grow: a board that waits for the host between short calls stays cool, and its clock high or low.
        """
        end = self.clock.now() + MINIMUM_WARM_UP
        calls = 1
        while self.clock.now() < end:
            if self.clock.time(call, calls) < WARM_UP_BATCH:
                calls *= 2
        super().warm_up(call, limit)

    def graph(self, calls: Iterable[Call], *, cold: bool) -> Timed:
        """Return the calls recorded in a graph that takes about a tenth of a sample, or goes once over all copies."""
        rotated = list(calls)
        repeats = 1
        if not cold:
            single = calibrate(self.clock, rotated[0], self.minimum)
            repeats = max(1, math.ceil(single.calls / REPLAYS))
        replay = self.clock.captured(rotated, repeats)
        seconds = self.clock.time(replay, REPLAYS)
        return Timed(replay, Batch(REPLAYS, seconds), False, len(rotated) * repeats)

    def copies(self, held: int) -> int:
        """Return how many copies of so many bytes pass twice the last-level cache."""
        return rotation(held, self.clock.cache_bytes, MOST_COPIES)

    def take(self, timed: Timed, seconds: float, at_least: int) -> Taken:
        """Take samples while the board's clock is what it should be."""
        self.clock.observations()  # of other cases' warm-up, which are not this turn's
        if self._board is None:
            return Taken(self._samples(timed, seconds, at_least), self._observed(timed))
        found = steady(
            lambda: self._samples(timed, seconds, at_least), self._board, self.clock, self._patience
        )
        self._patience = 0.0 if found.throttled else THROTTLE_LIMIT
        conditions = {**self._observed(timed), **readings(found.readings)}
        if found.discarded:
            conditions["discarded"] = found.discarded
        return Taken(found.samples, conditions, found.throttled)

    def _observed(self, timed: Timed) -> dict[str, Any]:
        """Return what the clock has seen, the host's time for one call and not for a whole graph."""
        seen = dict(self.clock.observations())
        if "host_us" in seen:
            seen["host_us"] /= timed.replays
        return seen

    def _samples(self, timed: Timed, seconds: float, at_least: int) -> list[Sample]:
        if timed.cold:
            return cold_samples(self.clock, lambda: self.clock.time_cold(timed.call), seconds, at_least)
        return hot_samples(self.clock, timed.call, timed.batch, seconds, at_least)

    def peak_of(self, work: Callable[[], object]) -> int | None:
        """Return what the framework's allocator held at most."""
        return self.backend.peak_of(work)

    def free_memory(self) -> int:
        """Return the device's free memory; where the framework does not tell, nothing stands in the way."""
        free = self.backend.free_memory()
        return 2**63 - 1 if free is None else free

    def energy(self, timed: Timed) -> float | None:
        """Return the board's joules for one call, over a loop of two seconds; None for cold calls, which are no loop."""
        if timed.cold or self._board is None or (before := self._board.energy_j()) is None:
            return None
        end = self.clock.now() + ENERGY_SECONDS
        calls = 0
        while calls == 0 or self.clock.now() < end:
            self.clock.time(timed.call, timed.batch.calls)
            calls += timed.calls
        after = self._board.energy_j()
        return None if after is None or after <= before else (after - before) / calls


def readings(taken: Sequence[Reading]) -> Mapping[str, Any]:
    """Return what the board showed during a turn: the lowest clock, the highest temperature, the median power.

    The memory is what all processes hold on the board, where its gauge tells it.
    """
    clocks = [one.sm_clock_hz for one in taken if one.sm_clock_hz is not None]
    heat = [one.temperature_c for one in taken if one.temperature_c is not None]
    power = [one.power_w for one in taken if one.power_w is not None]
    reasons = sorted({reason for one in taken for reason in one.reasons})
    held = [used for one in taken if (used := getattr(one, "memory_used", None)) is not None]
    told = {
        "board_memory_mib": max(held) / 2**20 if held else None,
        "sm_clock_mhz": min(clocks) / 1e6 if clocks else None,
        "temperature_c": max(heat, default=None),
        "power_w": statistics.median(power) if power else None,
        "throttle_reasons": ", ".join(reasons) or None,
    }
    return {name: value for name, value in told.items() if value is not None}
