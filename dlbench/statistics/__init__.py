"""Pure functions over samples: quantiles, intervals over rounds, ratios, multiple testing, modes and drift."""

from dlbench.statistics.intervals import (
    CONFIDENCE,
    LOW_QUANTILE,
    PRIOR_SPREAD,
    Interval,
    Rounds,
    estimate,
    median_of_medians,
    quantile,
    ratio,
)

__all__ = [
    "CONFIDENCE",
    "LOW_QUANTILE",
    "PRIOR_SPREAD",
    "Interval",
    "Rounds",
    "estimate",
    "median_of_medians",
    "quantile",
    "ratio",
]
