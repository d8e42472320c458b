"""The headline time of a measurement."""

from __future__ import annotations

from dlbench.results.measurement import FAILURES, Measurement
from dlbench.statistics import Interval, estimate, headline_quantile


def headline(measurement: Measurement) -> Interval | None:
    """Return the seconds of one call with their interval; None where the case failed or has no sample."""
    if measurement.verdict in FAILURES or not measurement.rounds:
        return None
    return estimate(measurement.rounds, headline_quantile(measurement.case.device))
