"""Compare two functions of the user's own, in turn, in this process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from dlbench.runner.measure import (
    MINIMUM_SAMPLE,
    WARM_UP_SHARE,
    WINDOW,
    Timing,
    check_limits,
    make_ready,
    name_of,
    seconds_of,
    spare_the_collector,
    timing,
)
from dlbench.statistics import Interval, ratio
from dlbench.timing.clock import Call, Clock, HostClock
from dlbench.timing.sampling import Batch, Sample, calibrate, hot_samples, warm_up
from dlbench.units import format_duration

TURN = 0.025
"""Seconds of one turn: short against a drift of the machine, long against the caches' refilling, which is not counted."""
MIN_WINDOWS = 5
"""Windows before the precision may end a comparison: as many as outweigh the prior of the ratio's interval."""
VERDICT_WINDOWS = 4
"""Windows without which nothing is concluded, as where the budget ends early."""
FLOOR = 0.02
"""Changes up to this are none, a choice: where two copies of one function lie in memory can make them differ in a whole
process, and more windows do not cure it."""

Verdict = Literal["faster", "slower", "same", "inconclusive"]


@dataclass(frozen=True)
class Pair:
    """How fast the second of two functions is against the first.

    `ratio` is the first's time over the second's, above 1 where the second is faster, with its 95 % interval over paired
    windows. `verdict` is of the second: `faster` or `slower` (the interval excludes 1 and the change exceeds FLOOR),
    `same` (the whole interval lies within FLOOR) or `inconclusive`. All of it is said of this process: another one, which
    places code and operands elsewhere, may differ by more than the interval.
    """

    first: Timing
    second: Timing
    ratio: float
    ratio_low: float
    ratio_high: float
    verdict: Verdict

    def __repr__(self) -> str:
        mine, theirs = self.second, self.first
        faster = self.ratio >= 1
        figures = (self.ratio, self.ratio_low, self.ratio_high)
        value, low, high = _printed(*figures if faster else (1 / figures[0], 1 / figures[2], 1 / figures[1]))
        how = f"is {value} times as fast as" if faster else f"takes {value} times as long as"
        verdict: str = self.verdict
        if self.verdict == "same":
            verdict = f"same within {FLOOR:.0%}"
        elif self.verdict == "inconclusive":
            verdict = f"inconclusive after {mine.windows} windows, give it more budget or a finer precision"
        times = f"{format_duration(mine.time.value)} against {format_duration(theirs.time.value)}"
        return f"{mine.name} {how} {theirs.name} [{low}, {high}]: {verdict} ({times})"


def _printed(value: float, low: float, high: float) -> tuple[str, str, str]:
    """Return the figures with as many decimals as tell the interval's ends from its middle."""
    decimals = max(0, math.ceil(-math.log10((high - low) / 2)))
    return f"{value:.{decimals}f}", f"{low:.{decimals}f}", f"{high:.{decimals}f}"


def compare_calls(
    first: Call,
    second: Call,
    *,
    names: tuple[str, str] = ("", ""),
    precision: float = 0.01,
    budget: float = 5.0,
    clock: Clock | None = None,
) -> Pair:
    """Return how fast `second()` is against `first()`, both called in turn in this process.

    A window is four short turns, there and back (A B B A, the next one B A A B), so that what disturbs or drifts hits both
    alike. It gives one log ratio of their headline quantiles, and the spread of the windows' gives the interval. That is
    mixed with a prior of 2 %, worth one window: it was made for processes, and here it keeps a few windows that happen to
    agree from claiming too much (5 of them never less than ±1 %). Of other processes the interval says nothing.

    It stops when the interval's half width is within `precision` (by default half of FLOOR, so that equal functions can be
    seen to be), after at least 5 windows, or before a window that would not fit into `budget` seconds any more. `names`
    replace the functions' own. Both are called a few times untimed first, and once more where they take (bound by
    `functools.partial`) or return torch tensors, to count their operations. The clock is that of the framework whose
    tensors these are, one for both. Whatever the functions raise is
    raised. Raises ValueError unless budget and precision are positive.
    """
    check_limits(budget, precision)
    calls = (first, second)
    ready = [make_ready(call, clock) for call in calls]
    clock = next((one for one, _ in ready if not isinstance(one, HostClock)), ready[0][0])
    end = clock.now() + budget
    with spare_the_collector():
        for call in calls:
            warm_up(clock, call, min(WINDOW, budget * WARM_UP_SHARE))
        windows = _windows(clock, calls, end, precision)
    found = _ratio(windows, clock)
    one, other = (
        timing(name, taken, clock, flops)
        for name, taken, (_, flops) in zip(_labels(calls, names), windows, ready, strict=True)
    )
    return Pair(one, other, *found, _verdict(found, len(windows[0])))


def _labels(calls: tuple[Call, Call], names: tuple[str, str]) -> tuple[str, str]:
    first, second = (name or name_of(call) for call, name in zip(calls, names, strict=True))
    return (first, second) if first != second or all(names) else ("first", "second")


_Sides = tuple[list[list[Sample]], list[list[Sample]]]
"""The windows of the first and of the second call."""


def _windows(clock: Clock, calls: Sequence[Call], end: float, precision: float) -> _Sides:
    batches = _alike([calibrate(clock, call, MINIMUM_SAMPLE) for call in calls])
    # Where one sample fills a turn, there without back: twice as many windows, and the turns' order is the same.
    turns = 4 if max(batch.seconds for batch in batches) <= TURN else 2
    sides: _Sides = ([], [])
    while True:
        start = clock.now()
        order = (0, 1, 1, 0) if len(sides[0]) % 2 == 0 else (1, 0, 0, 1)
        window: tuple[list[Sample], list[Sample]] = ([], [])
        for who in order[:turns]:
            window[who].extend(hot_samples(clock, calls[who], batches[who], TURN))
        for side, samples in zip(sides, window, strict=True):
            side.append(samples)
        now = clock.now()
        # A window cut short would hold fewer samples of one side, whose low quantile then lies higher.
        if now + (now - start) > end:
            return sides
        if len(sides[0]) >= MIN_WINDOWS and _ratio(sides, clock).half_width <= precision:
            return sides


def _alike(batches: Sequence[Batch]) -> Sequence[Batch]:
    """Return batches of equally many calls where they nearly are so.

    The low quantile of single calls lies below that of averages of two: equal functions must be averaged alike.
    """
    most = max(batch.calls for batch in batches)
    if most > 2 * min(batch.calls for batch in batches):
        return batches
    return [Batch(most, batch.seconds / batch.calls * most) for batch in batches]


def _ratio(sides: _Sides, clock: Clock) -> Interval:
    first, second = (seconds_of(side) for side in sides)
    return ratio(first, second, clock.quantile)


def _verdict(found: Interval, windows: int) -> Verdict:
    """Return what the ratio says of the second function."""
    most = 1 + FLOOR
    if windows < VERDICT_WINDOWS:
        return "inconclusive"
    if found.low > 1 and found.value > most:
        return "faster"
    if found.high < 1 and found.value < 1 / most:
        return "slower"
    return "same" if 1 / most <= found.low and found.high <= most else "inconclusive"
