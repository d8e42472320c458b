"""The noise floor: how much two runs of the same thing differ on this machine, beyond what their rounds can show.

Two A/A runs differ by more than the spread of either's rounds (another hour, another placement of pages), and short
cases by more than long ones. So a change counts only if it exceeds what A/A runs were seen to differ by.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BOUNDS = (10e-6, 100e-6, 1e-3, 10e-3)
"""Seconds between the classes of cases: under 10 µs, to 100 µs, to 1 ms, to 10 ms, and longer."""
CLASSES = len(BOUNDS) + 1
DEFAULT_SEPARATE = 0.05
"""Assumed where no A/A runs were taken one after the other; a choice."""
DEFAULT_INTERLEAVED = 0.02
"""Assumed where none were taken in turn, which a drift of the machine hits alike; a choice."""
MIN_FLOOR = 0.005
"""Nobody acts on less, however quiet the machine."""
COVERED = 0.95
"""Share of the A/A comparisons that a floor is to hold."""
ENOUGH = 20
"""Comparisons that a class needs for a floor of its own: of fewer, the 95 % quantile is the largest or so."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Floors:
    """The noise floor as a fraction, for each class of cases, of runs taken separately and in turn.

    The two counts are how many A/A comparisons they come from; 0 is none, and the default stands.
    """

    separate: tuple[float, ...] = (DEFAULT_SEPARATE,) * CLASSES
    interleaved: tuple[float, ...] = (DEFAULT_INTERLEAVED,) * CLASSES
    separate_comparisons: int = 0
    interleaved_comparisons: int = 0

    def at(self, seconds: Floats, interleaved: NDArray[np.bool_]) -> Floats:
        """Return the floor of each case that takes so long."""
        which = class_of(seconds)
        in_turn, apart = (np.array(floors)[which] for floors in (self.interleaved, self.separate))
        chosen: Floats = np.where(interleaved, in_turn, apart)
        return chosen

    def comparisons(self, *, interleaved: bool) -> int:
        """Return how many A/A comparisons the floors of that kind come from."""
        return self.interleaved_comparisons if interleaved else self.separate_comparisons

    @property
    def measured(self) -> bool:
        """Whether any of them was measured."""
        return bool(self.separate_comparisons or self.interleaved_comparisons)


def floors_from(seconds: Floats, log_ratios: Floats, interleaved: NDArray[np.bool_]) -> Floors:
    """Return the floors that A/A comparisons show: of each, the case's time, the log ratio, and whether it was taken in turn.

    A class's floor is the 95 % quantile of its absolute log ratios. One with fewer than 20 takes that of all classes of
    its kind, or its own where that is larger; with fewer than 20 of a kind altogether, the default is the least.
    """
    size, which = np.abs(log_ratios), class_of(seconds)
    separate, turn = (
        _floors(size[kind], which[kind], default)
        for kind, default in (
            (~interleaved, DEFAULT_SEPARATE),
            (interleaved, DEFAULT_INTERLEAVED),
        )
    )
    return Floors(separate, turn, int((~interleaved).sum()), int(interleaved.sum()))


def _floors(size: Floats, which: NDArray[np.integer[Any]], default: float) -> tuple[float, ...]:
    if not size.size:
        return (default,) * CLASSES
    overall = max(_floor(size), default if size.size < ENOUGH else 0.0)
    floors = []
    for number in range(CLASSES):
        own = size[which == number]
        floor = _floor(own) if own.size else overall
        floors.append(floor if own.size >= ENOUGH else max(floor, overall))
    return tuple(floors)


def _floor(size: Floats) -> float:
    return max(MIN_FLOOR, float(np.expm1(np.quantile(size, COVERED))))


def class_of(seconds: Floats) -> NDArray[np.integer[Any]]:
    """Return the number of each case's class."""
    return np.searchsorted(BOUNDS, seconds, side="right")
