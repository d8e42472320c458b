"""Intervals and tests of ratios, for many rows at once: Welch's over separate rounds, Student's over paired ones.

A row compares one case on two sides. Its observations are logs, one for each round, so that a difference of means is the
log of a ratio of geometric means. Observations of all rows come in one array, beside the number of the row that each
belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlbench.statistics.intervals import CONFIDENCE

Floats = NDArray[np.float64]
Integers = NDArray[np.integer[Any]]
Booleans = NDArray[np.bool_]

FALSE_DISCOVERIES = 0.05
"""Share of the changes reported over a whole comparison that may be none."""
LEAST_SPREAD = 0.001
"""Relative spread between rounds below which none is believed: rounds that agree to the last digit of the clock have
a variance of zero, and would call any difference significant. A choice; processes on a quiet machine differ by more."""


@dataclass(frozen=True, slots=True)
class Moments:
    """How many observations each row has, their mean, and their variance (0 below two observations)."""

    count: Integers
    mean: Floats
    variance: Floats

    def take(self, rows: Integers) -> Moments:
        """Return the moments of these rows, in their order."""
        return Moments(self.count[rows], self.mean[rows], self.variance[rows])

    def where(self, chosen: Booleans, other: Moments) -> Moments:
        """Return the chosen rows' moments, and the other's of the rest."""
        return Moments(
            np.where(chosen, self.count, other.count),
            np.where(chosen, self.mean, other.mean),
            np.where(chosen, self.variance, other.variance),
        )


class Estimates(NamedTuple):
    """Each row's difference of means with its 95 % interval and two-sided p-value; NaN where too few observations are."""

    value: Floats
    low: Floats
    high: Floats
    p: Floats


class Part(NamedTuple):
    """Observations that a weighted sum takes from one side: which round each is of, its weight, and its residual.

    The residual is the observation less the mean of its own row and side.
    """

    round: Integers
    weight: Floats
    residual: Floats


def moments(row: Integers, value: Floats, rows: int) -> Moments:
    """Return the moments of every one of so many rows; a row without observations has the mean NaN."""
    count = np.bincount(row, minlength=rows)
    with np.errstate(invalid="ignore"):
        mean = np.bincount(row, value, minlength=rows) / count
    squares = np.bincount(row, (value - mean[row]) ** 2, minlength=rows)
    return Moments(count, mean, squares / np.maximum(count - 1, 1))


def welch(first: Moments, second: Moments) -> Estimates:
    """Return the difference of means, first less second, of rounds that were taken separately.

    B. L. Welch, The generalization of "Student's" problem when several different population variances are involved,
    Biometrika 34, 1947. Two observations a side at least.
    """
    shares = [_believed(side) / np.maximum(side.count, 1) for side in (first, second)]
    variance = shares[0] + shares[1]
    freedoms = [
        share**2 / np.maximum(side.count - 1, 1) for share, side in zip(shares, (first, second), strict=True)
    ]
    enough = (first.count > 1) & (second.count > 1)
    return _student(first.mean - second.mean, variance, variance**2 / (freedoms[0] + freedoms[1]), enough)


def paired(differences: Moments) -> Estimates:
    """Return the mean of differences that were taken round by round. Two observations at least.

    It is not trimmed: Yuen's trimmed t is fooled more often than claimed at 6 rounds (docs/decisions.md).
    """
    variance = _believed(differences) / np.maximum(differences.count, 1)
    freedom = np.maximum(differences.count - 1, 1).astype(np.float64)
    return _student(differences.mean, variance, freedom, differences.count > 1)


def weighted_sum(value: float, parts: Sequence[Part]) -> tuple[float, float]:
    """Return the ends of the 95 % interval of a weighted sum of observations; NaN where a part has one round only.

    The round is the unit: what disturbs a round hits all of its rows, so that their residuals are summed before they
    are squared (K.-Y. Liang, S. L. Zeger, Longitudinal data analysis using generalized linear models, Biometrika 73,
    1986). With weights w of rounds that sum to 1, the number of rounds is taken as 1 / sum(w²), and the parts' variances
    are added as Welch adds them. For one row it is Welch's interval, or Student's for pairs.
    """
    variance = freedom = 0.0
    for part in parts:
        if not part.round.size:
            continue
        _, unit = np.unique(part.round, return_inverse=True)
        errors = np.bincount(unit, part.weight * part.residual)
        weights = np.bincount(unit, part.weight)
        rounds = float(weights.sum() ** 2 / (weights**2).sum())
        if weights.size < 2:
            return float("nan"), float("nan")
        least = (LEAST_SPREAD * weights.sum()) ** 2 / rounds
        share = max(float((errors**2).sum()) * rounds / (rounds - 1), float(least))
        variance += share
        freedom += share**2 / (rounds - 1)
    if not variance:
        return float("nan"), float("nan")
    found = _student(
        np.array([value]), np.array([variance]), np.array([variance**2 / freedom]), np.array([True])
    )
    return float(found.low[0]), float(found.high[0])


def benjamini_hochberg(p: Floats, level: float = FALSE_DISCOVERIES) -> Booleans:
    """Return which of the p-values are significant, at most that share of them falsely.

    Y. Benjamini, Y. Hochberg, Controlling the false discovery rate, J. R. Statist. Soc. B 57, 1995: all up to the largest
    k for which the k-th smallest is at most k/m of the level.
    """
    ordered = np.sort(p)
    passing = np.flatnonzero(ordered <= level * np.arange(1, p.size + 1) / max(p.size, 1))
    return p <= ordered[passing[-1]] if passing.size else np.zeros(p.size, dtype=np.bool_)


def _believed(side: Moments) -> Floats:
    return np.maximum(side.variance, LEAST_SPREAD**2)


def _student(value: Floats, variance: Floats, freedom: Floats, enough: Booleans) -> Estimates:
    from scipy.special import stdtr, stdtrit  # half of what importing this module would cost

    error = np.where(enough, np.sqrt(variance), np.nan)
    half = np.asarray(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    p = 2 * np.asarray(stdtr(freedom, -np.abs(value) / error))
    return Estimates(value, value - half, value + half, p)
