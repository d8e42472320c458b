"""When a case has been measured well enough."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dlbench.statistics import LOW_QUANTILE, Rounds, estimate, headline_quantile

EVENT_RESOLUTION = 0.5e-6
"""Seconds; the CUDA runtime API states about 0.5 µs for cudaEventElapsedTime: an interval cannot be asked to be narrower."""


@dataclass(frozen=True, slots=True)
class Precision:
    """Which half width of the 95 % interval is aimed at, and when another round is no use.

    `target` is the half width over the value below which a case counts as measured well; `enough` the one at which it is
    visited no more: the same where a precision was asked for, 0 where only the budget ends the run. `min_rounds`: with few
    rounds the spread between processes is little more than its prior. `max_rounds`: what has not converged by then has
    a cause that more rounds do not cure. `resolution`: a half width of so many seconds is as good as none.
    """

    target: float = 0.02
    min_rounds: int = 4
    max_rounds: int = 10
    quantile: float = LOW_QUANTILE
    enough: float = 0.02
    resolution: float = 0.0

    def on(self, device: str) -> Precision:
        """Return the same demand of a device: which quantile is its headline, and what its clock can tell apart."""
        resolution = 0.0 if device == "cpu" else EVENT_RESOLUTION
        return replace(self, quantile=headline_quantile(device), resolution=resolution)

    def wants_more(self, count: int, half_width: float) -> bool:
        """Return whether another round would help a case with so many rounds and that half width."""
        if count < self.min_rounds:
            return True
        return count < self.max_rounds and half_width > self.enough

    def met(self, rounds: Rounds) -> bool:
        """Return whether the interval is as narrow as asked."""
        return bool(rounds) and len(rounds) >= self.min_rounds and self.half_width(rounds) <= self.target

    def half_width(self, rounds: Rounds) -> float:
        """Return the interval's half width over the value: infinite without samples, 0 where it is within the resolution."""
        if not rounds:
            return float("inf")
        interval = estimate(rounds, self.quantile)
        half = (interval.high - interval.low) / 2
        return 0.0 if half <= self.resolution else interval.half_width
