"""Pure functions over samples: quantiles, intervals over rounds, ratios, multiple testing, modes and drift."""

from dlbench.statistics.intervals import (
    CONFIDENCE,
    LOW_QUANTILE,
    MEDIAN,
    PRIOR_SPREAD,
    Interval,
    Rounds,
    estimate,
    headline_quantile,
    median_of_medians,
    quantile,
    ratio,
)

__all__ = [
    "CONFIDENCE",
    "LOW_QUANTILE",
    "MEDIAN",
    "PRIOR_SPREAD",
    "Interval",
    "Rounds",
    "estimate",
    "headline_quantile",
    "median_of_medians",
    "quantile",
    "ratio",
]
