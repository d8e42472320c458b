"""Take samples only while an accelerator's clock is what it should be."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from dlbench.timing.clock import Clock
from dlbench.timing.sampling import Sample

LOWEST_SHARE = 0.75
"""Of the default SM clock; below it a sample is discarded. The project's rules of measuring."""
FIRST_WAIT = 0.05
LONGEST_WAIT = 0.5
"""Seconds that a slowed-down board is left alone: 50 ms first, doubled up to 500 ms; the project's rules of measuring."""
HARDWARE = ("hw", "hardware")
"""How the reasons begin that stop a sample, as nvidia-smi writes them (HW Slowdown, HW Thermal Slowdown, HW Power Brake
Slowdown). Others, such as the software's power cap, are how a board works under load."""
LASTING = ("thermal", "brake")
"""The hardware's reasons that an idle board shows only where they hold: NVML's plain HW slowdown may also show while the
clock changes."""


class Reading(Protocol):
    """What a board shows at one moment; None where it does not tell."""

    @property
    def sm_clock_hz(self) -> float | None:
        """The clock of the multiprocessors now."""

    @property
    def default_sm_clock_hz(self) -> float | None:
        """The clock that the maker states for them without boost."""

    @property
    def temperature_c(self) -> float | None:
        """The chip's temperature in °C."""

    @property
    def power_w(self) -> float | None:
        """What the board draws, in watts."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the clock is not higher, in the words of nvidia-smi (`HW thermal slowdown`, `SW power cap`)."""


class Gauge(Protocol):
    """Reads a board while it works."""

    def read(self) -> Reading | None:
        """Return what the board shows now; None where it shows nothing, or no longer."""


@dataclass(frozen=True, slots=True)
class Steady:
    """The samples to keep, and how the board was.

    `throttled` says why they are too slow and what to do about it, empty where they are not; `readings` were taken right
    after the samples; so many samples before them were `discarded`.
    """

    samples: list[Sample]
    throttled: str = ""
    readings: Sequence[Reading] = field(default_factory=tuple)
    discarded: int = 0


def steady(take: Callable[[], list[Sample]], gauge: Gauge, clock: Clock, limit: float) -> Steady:
    """Take samples until the board was not slowed down; wait for it for at most `limit` seconds.

    The reading right after the samples decides: the board has just worked. The one before them finds a board that may have
    been idle and has lowered its clock for that, which is no fault; only a slowdown for heat or by the power brake counts
    there. A board that shows nothing, or no longer, slows nothing down.
    """
    discarded = 0
    began: float | None = None
    wait = FIRST_WAIT
    while True:
        before = gauge.read()
        samples = take()
        after = gauge.read()
        readings = () if after is None else (after,)
        slowed = after if _is_slow(after) else before if _was_slow(before) else None
        if slowed is None:
            return Steady(samples, "", readings, discarded)
        now = clock.now()
        began = now if began is None else began
        if now - began >= limit:
            return Steady(samples, reason(slowed, now - began), readings, discarded)
        discarded += len(samples)
        clock.sleep(min(wait, limit - (now - began)))
        wait = min(2 * wait, LONGEST_WAIT)


def reason(reading: Reading, seconds: float) -> str:
    """Return what slowed the board down for so long, and what a person can do about it."""
    said = [text for text in reading.reasons if "idle" not in text.lower()]
    if (clocks := _clocks(reading)) is not None:
        said.insert(0, f"SM clock {clocks[0] / 1e6:.0f} of {clocks[1] / 1e6:.0f} MHz")
    heat = "" if reading.temperature_c is None else f" at {reading.temperature_c:.0f} °C"
    how_long = f", for {round(seconds, 1):g} s" if seconds > 0 else ""
    return f"{', '.join(said)}{heat}{how_long}; {_advice(reading)}"


def _advice(reading: Reading) -> str:
    reasons = " ".join(reading.reasons).lower()
    for word, advice in _ADVICE:
        if word in reasons:
            return advice
    return "`nvidia-smi -q -d PERFORMANCE,CLOCK` shows what holds the clock down"


_ADVICE = (
    ("thermal", "let the card cool or raise its fan"),
    ("brake", "look at the power supply, which has asked the card to draw less"),
    ("hw", "look at the card's cooling and power supply"),
    ("hardware", "look at the card's cooling and power supply"),
    ("power", "the card's power limit holds the clock down: `nvidia-smi -q -d POWER` shows it"),
    ("setting", "the card's clocks are set low: `nvidia-smi -q -d CLOCK` shows them"),
)
"""The first word found among the reasons decides."""


def _is_slow(reading: Reading | None) -> bool:
    """Return whether the board that has just worked was slowed down."""
    if reading is None:
        return False
    clocks = _clocks(reading)
    return bool(_hardware(reading)) or (clocks is not None and clocks[0] < LOWEST_SHARE * clocks[1])


def _was_slow(reading: Reading | None) -> bool:
    """Return whether the board that may have been idle is slowed down for a reason that lasts."""
    return reading is not None and any(
        word in text.lower() for text in _hardware(reading) for word in LASTING
    )


def _hardware(reading: Reading) -> list[str]:
    return [text for text in reading.reasons if text.lower().startswith(HARDWARE)]


def _clocks(reading: Reading) -> tuple[float, float] | None:
    """Return the clock and the default clock, None unless both are known."""
    if reading.sm_clock_hz is None or reading.default_sm_clock_hz is None:
        return None
    return reading.sm_clock_hz, reading.default_sm_clock_hz
