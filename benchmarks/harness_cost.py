"""What timing an empty callable costs per call: dlbench's host clock beside timeit, in turn, in one process.

Goal: at most 60 ns, and no more than timeit.
"""

from __future__ import annotations

import sys
import timeit

from _machine import name

from dlbench.statistics import quantile
from dlbench.timing.clock import HostClock

CALLS = 200_000
TURNS = 40
GOAL_NS = 60.0


def nothing() -> None:
    """Cost as little as a Python function can."""


def main() -> int:
    """Print both costs and their ratio; return 1 when a goal is missed."""
    clock, timer = HostClock(), timeit.Timer(nothing)
    ours, theirs = [], []
    for _ in range(TURNS):
        ours.append(clock.time(nothing, CALLS) / CALLS * 1e9)
        theirs.append(timer.timeit(CALLS) / CALLS * 1e9)
    ratio = quantile([a / b for a, b in zip(ours, theirs, strict=True)], 0.5)
    cost = quantile(ours, 0.05)
    print(name())
    print(
        f"dlbench {cost:.1f} ns a call, timeit {quantile(theirs, 0.05):.1f} ns; ratio {ratio:.2f} (median of {TURNS} pairs)"
    )
    return int(cost > GOAL_NS or ratio > 1)


if __name__ == "__main__":
    sys.exit(main())
