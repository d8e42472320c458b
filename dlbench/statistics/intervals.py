"""Quantiles, intervals over rounds, and paired ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Rounds = Sequence[Sequence[float]]

LOW_QUANTILE = 0.05
"""The headline quantile on a CPU: the time when nobody disturbs, yet not the one luckiest sample."""
MEDIAN = 0.5
"""The headline quantile on an accelerator: nothing preempts a kernel, and the device's clock wanders both ways."""
CONFIDENCE = 0.95
PRIOR_SPREAD = 0.02
"""Assumed relative spread of the low quantile between processes, which one round alone cannot see: a choice, in the range
that a shared machine shows, and outweighed after a few rounds (tests/statistics/test_intervals.py holds what it does)."""
PRIOR_ROUNDS = 1
"""How many rounds of evidence the prior spread counts as: one, so that five rounds outweigh it."""
RESAMPLES = 200
"""Bootstrap resamples: the standard error of a standard error from B resamples is 1/sqrt(2 B), here 5 %."""
MOST_SAMPLES = 500
"""Samples of one round that the bootstrap looks at; a longer round is thinned to evenly spaced quantiles."""


class Interval(NamedTuple):
    """A value and its 95 % interval, in the value's own unit."""

    value: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the interval's width over the value, on a log scale: 0.01 is ±1 %."""
        return math.log(self.high / self.low) / 2


def headline_quantile(device: str) -> float:
    """Return the quantile to headline: low on a processor, where others disturb; else the median."""
    return LOW_QUANTILE if device.partition(":")[0] == "cpu" else MEDIAN


def quantile(samples: Sequence[float], q: float) -> float:
    """Return the q-quantile by linear interpolation (Hyndman & Fan 1996, type 7)."""
    return float(np.quantile(np.asarray(samples, dtype=np.float64), q))


def median_of_medians(rounds: Rounds) -> float:
    """Return the median of the rounds' medians."""
    return quantile([quantile(samples, 0.5) for samples in rounds], 0.5)


def estimate(rounds: Rounds, q: float) -> Interval:
    """Return the q-quantile of the pooled samples and its interval over rounds.

    A hierarchical bootstrap (rounds, then samples inside each) gives the standard error of the log; with few rounds it
    is too small by sqrt((R-1)/R). Where processes differ, the samples at a low quantile come from the few fastest of them,
    which the bootstrap cannot know to be few: the variance is at least that of the rounds' own quantiles over the number of
    rounds that the samples below twice the quantile come from. It is mixed with a prior worth PRIOR_ROUNDS rounds, which is
    all that a single round has, unless it is larger by itself, and a Student quantile is taken. Coverage:
    tests/statistics/test_intervals.py. Raises ValueError without samples.
    """
    if not any(len(samples) for samples in rounds):
        raise ValueError("no samples")
    thinned = [_thin(samples) for samples in rounds if len(samples)]
    value = quantile(np.concatenate([np.asarray(s, dtype=np.float64) for s in rounds]).tolist(), q)
    variance = _bootstrap_variance(thinned, q)
    count = len(thinned)
    if count > 1:
        spread = float(np.var([math.log(quantile(samples.tolist(), q)) for samples in thinned], ddof=1))
        variance = max(variance * count / (count - 1), spread / _rounds_below(thinned, min(1.0, 2 * q)))
    return _student(value, variance, count)


def _rounds_below(rounds: Sequence[NDArray[np.float64]], q: float) -> float:
    """Return the number of rounds that the samples up to a quantile come from: 1 over the sum of their squared shares."""
    edge = np.quantile(np.concatenate(rounds), q)
    shares = np.array([np.mean(samples <= edge) for samples in rounds])
    return float(shares.sum() ** 2 / (shares**2).sum())


def ratio(numerator: Rounds, denominator: Rounds, q: float) -> Interval:
    """Return the ratio of two cases' q-quantiles and its interval over paired rounds.

    `numerator[i]` and `denominator[i]` are the same round, sampled in turn: what disturbed one disturbed the other, so
    the spread of the rounds' log ratios is the error. Raises ValueError unless both have the same number of rounds,
    at least one.
    """
    if len(numerator) != len(denominator) or not numerator:
        raise ValueError(f"paired rounds differ: {len(numerator)} and {len(denominator)}")
    logs = [math.log(quantile(a, q) / quantile(b, q)) for a, b in zip(numerator, denominator, strict=True)]
    count = len(logs)
    if count > 1:
        variance = float(np.var(logs, ddof=1)) / count
    else:
        variance = sum(_bootstrap_variance([_thin(side[0])], q) for side in (numerator, denominator))
    return _student(math.exp(sum(logs) / count), variance, count)


def _student(value: float, variance: float, rounds: int) -> Interval:
    """Return the log-scale Student interval for the variance of a log estimate that so many rounds gave."""
    prior = PRIOR_SPREAD**2 / rounds
    if rounds == 1:
        half = _half(variance + prior, PRIOR_ROUNDS)
    else:
        freedom = PRIOR_ROUNDS + rounds - 1
        mixed = (PRIOR_ROUNDS * prior + (rounds - 1) * variance) / freedom
        # Where the rounds differ by more than the prior says, they are believed alone.
        half = max(_half(mixed, freedom), _half(variance, rounds - 1))
    return Interval(value, value * math.exp(-half), value * math.exp(half))


def _half(variance: float, freedom: int) -> float:
    """Return half the width of Student's interval."""
    from scipy.special import (
        stdtrit,
    )  # half of what importing this module would cost a command that needs no interval

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(variance)


def _thin(samples: Sequence[float]) -> NDArray[np.float64]:
    array = np.sort(np.asarray(samples, dtype=np.float64))
    if array.size <= MOST_SAMPLES:
        return array
    return array[np.linspace(0, array.size - 1, MOST_SAMPLES).round().astype(np.intp)]


def _bootstrap_variance(rounds: Sequence[NDArray[np.float64]], q: float) -> float:
    """Return the variance of the log of the pooled q-quantile over hierarchical resamples.

    Resampling with replacement is weighting: a round gets a multinomial weight, each of its samples a Poisson one.
    """
    rng = np.random.default_rng(0)
    count = len(rounds)
    pooled = np.concatenate(rounds)
    owner = np.repeat(np.arange(count), [samples.size for samples in rounds])
    order = np.argsort(pooled, kind="stable")
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    weights = drawn[:, owner[order]] * rng.poisson(1.0, size=(RESAMPLES, pooled.size))
    weights[weights.sum(axis=1) == 0] = 1
    cumulated = weights.cumsum(axis=1)
    position = (cumulated < q * cumulated[:, -1:]).sum(axis=1)
    return float(np.var(np.log(pooled[order][np.minimum(position, pooled.size - 1)])))
