"""Wait until a process's own threads have stopped spinning, so that the next sample has the machine to itself."""

from __future__ import annotations

import time

from dlbench.timing.clock import Clock

STEP = 0.001
IDLE_SHARE = 0.1
"""Processor time over wall time below which the process counts as asleep."""
LIMIT = 0.05
"""OpenMP's threads spin for some milliseconds after a parallel region before they sleep; past this they will not."""


def settle(clock: Clock) -> None:
    """Return when this process's threads use the processor no more, or after 50 ms."""
    end = clock.now() + LIMIT
    while clock.now() < end:
        wall, busy = clock.now(), time.process_time()
        clock.sleep(STEP)
        if time.process_time() - busy < IDLE_SHARE * (clock.now() - wall):
            return
