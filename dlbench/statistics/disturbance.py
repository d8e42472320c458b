"""What an interval does not see: two speeds, a drift, samples that were mostly disturbed."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from dlbench.statistics.intervals import Rounds
from dlbench.units import format_duration

APART = 0.05
"""Relative difference between processes below which nothing is said: a choice, two and a half times the spread that every
interval allows for anyway (intervals.PRIOR_SPREAD), and what a machine may spread before `devices` calls it noisy."""
MODE_PROCESSES = 2
"""Fewest processes that make a mode: one alone is an outlier."""
FEWEST_ROUNDS = 2 * MODE_PROCESSES
"""Fewest processes of which modes or drift are said."""
SEPARATION = 12.0
"""Distance of the modes over the spread inside them, both on the log scale, from which on they are two. Simulated: the 99 %
quantile of that ratio for R processes without modes, over normal, uniform, Student (2 and 3 degrees of freedom), exponential
and lognormal (shape 1) values, is at most 11.4 at R = 7 and falls with R; the lognormal is the largest."""
SEPARATION_OF_FEW = {4: 30.0, 5: 19.0, 6: 14.0}
"""The same for so few processes that chance alone often puts two pairs far apart: 99.3 % quantiles of the worst of those
distributions, rounded up."""
DRIFT_RISK = 0.003
"""Probability of calling a drift among normal values without one; heavier tails have less, uniform values 0.4 %. With the
0.7 % of the modes it makes about 1 % in all, and a drift worth naming needs no more."""
DISTURBED = 1.5
"""Median over low quantile from which on samples are mostly disturbed: half-way between a core of one's own (1) and one
shared evenly with another program (2), so that the headline is a speed that the case seldom had. On a shared 2-core machine
at a load of 1.5, products and copies of one thread stayed below (1.02 to 1.42); a product on both cores showed 6 and more."""


def disturbance(rounds: Rounds, q: float) -> str:
    """Return what keeps a case's time from repeating, or "" where nothing does; a narrow interval does not rule it out.

    `rounds` holds each process's samples in seconds, in the order of measurement; `q` is the headline's quantile.
    Modes come first: they do not depend on the order, so that a step in time is two modes with both times, not a drift.
    Processes that differ without modes or drift are called so in about 1 % of cases at most; where a tenth to a third of
    them are slowed down at random, some of ten look alike by chance in 5 % (tests/statistics/test_disturbance.py).
    """
    taken = [np.asarray(samples, dtype=np.float64) for samples in rounds if len(samples)]
    if not taken:
        return ""
    logs = np.log([np.quantile(samples, q) for samples in taken])
    return _two_modes(logs) or _drift(logs) or _mostly_disturbed(taken, q)


def _two_modes(logs: NDArray[np.float64]) -> str:
    """Return both modes' times and sizes where the processes' log times fall into two groups."""
    count = logs.size
    if count < FEWEST_ROUNDS:
        return ""
    ordered = np.sort(logs)
    cut = _best_cut(ordered)
    fast, slow = ordered[:cut], ordered[cut:]
    apart = float(slow.mean() - fast.mean())
    spread = math.sqrt((cut * fast.var() + (count - cut) * slow.var()) / (count - 2))
    if apart < math.log1p(APART) or apart <= SEPARATION_OF_FEW.get(count, SEPARATION) * spread:
        return ""
    return (
        f"two modes: {_typical(fast)} in {fast.size} processes, {_typical(slow)} in {slow.size} "
        f"({_percent(apart)} apart)"
    )


def _best_cut(ordered: NDArray[np.float64]) -> int:
    """Return how many of the sorted values form the lower group, so that the squares inside both groups are least."""
    count = ordered.size
    sizes = np.arange(MODE_PROCESSES, count - MODE_PROCESSES + 1)
    lower_sums = np.cumsum(ordered - ordered.mean())[sizes - 1]
    return int(sizes[np.argmax(lower_sums**2 / (sizes * (count - sizes)))])


def _drift(logs: NDArray[np.float64]) -> str:
    """Return the size of a trend of log time over processes: least squares, and Student's test of the correlation."""
    count = logs.size
    if count < FEWEST_ROUNDS:
        return ""
    time = np.arange(count) - (count - 1) / 2
    centred = logs - logs.mean()
    covariance = float(time @ centred)
    size = covariance / float(time @ time) * (count - 1)
    if abs(size) < math.log1p(APART):
        return ""
    explained = covariance**2 / float((time @ time) * (centred @ centred))
    if explained <= _chance_correlation(count) ** 2:
        return ""
    return f"drift: {_percent(abs(size))} {'slower' if size > 0 else 'faster'} from the first process to the last"


def _chance_correlation(count: int) -> float:
    """Return the correlation with time that so many normal values exceed, either way, with probability DRIFT_RISK."""
    from scipy.special import stdtrit  # not loaded by commands that measure nothing

    student = float(stdtrit(count - 2, 1 - DRIFT_RISK / 2))
    return student / math.sqrt(count - 2 + student**2)


def _mostly_disturbed(rounds: Sequence[NDArray[np.float64]], q: float) -> str:
    """Return how far the median of all samples is above their q-quantile, where it is far."""
    low, median = np.quantile(np.concatenate(rounds), [q, 0.5]).tolist()
    if median < DISTURBED * low:
        return ""
    return f"heavily disturbed: half of the samples took more than {median / low:.1f} times the {100 * q:.0f} % quantile"


def _typical(logs: NDArray[np.float64]) -> str:
    return format_duration(math.exp(float(logs.mean())))


def _percent(log_ratio: float) -> str:
    """Return the log of a ratio above 1 as a percentage: 0.182 -> "20 %"."""
    return f"{100 * math.expm1(min(log_ratio, 700.0)):.0f} %"  # a double's exponential ends at 709
