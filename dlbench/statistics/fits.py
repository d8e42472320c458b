"""How times grow with a size: the law that fits best, and the exponent of a power law with its interval."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dlbench.statistics.intervals import CONFIDENCE

Array = NDArray[np.float64]

LAWS: Mapping[str, Callable[[Array], Array]] = MappingProxyType(
    {
        "1": np.ones_like,
        "log n": np.log2,
        "n": lambda n: n,
        "n log n": lambda n: n * np.log2(n),
        "n^2": lambda n: n**2,
        "n^3": lambda n: n**3,
    }
)
"""The laws that are tried: those of Google Benchmark (docs/user_guide.md, Calculating Asymptotic Complexity), logarithms to
base 2 as there."""
FEWEST = 3
"""Sizes behind a fit: two lie on any line."""


class Fit(NamedTuple):
    """time ≈ coefficient · law(n). `error` is the root mean square of what is left over the mean time, 0.02 for 2 %."""

    law: str
    coefficient: float
    error: float


class Growth(NamedTuple):
    """Every law's fit, the best first; `level` are the laws that the data do not tell apart from the best, itself first."""

    fits: tuple[Fit, ...]
    level: tuple[str, ...]

    @property
    def best(self) -> Fit:
        """The fit with the smallest error."""
        return self.fits[0]


class PowerLaw(NamedTuple):
    """The exponent b of y = a·x^b and its 95 % interval."""

    exponent: float
    low: float
    high: float


def fit(sizes: Sequence[float], times: Sequence[float], law: str) -> Fit:
    """Return the least-squares fit of one law to the times (seconds).

    With one coefficient it is sum(t·f(n)) / sum(f(n)²), and the error sqrt(mean((t - coefficient·f(n))²)) / mean(t), as in
    Google Benchmark (src/complexity.cc, MinimalLeastSq). Raises ValueError for fewer than three sizes, for sizes below 1,
    and for times that are not positive.
    """
    n, t = _checked(sizes, times)
    basis = LAWS[law](n)
    squares = float(basis @ basis)
    coefficient = float(t @ basis) / squares if squares else 0.0
    left = float(np.sqrt(np.mean((t - coefficient * basis) ** 2)))
    return Fit(law, coefficient, left / float(np.mean(t)))


def growth(sizes: Sequence[float], times: Sequence[float]) -> Growth:
    """Return how the times (seconds) grow with the size: every law's fit, the best first.

    A law counts as level with the best where the ratio of their squared errors is within what chance alone gives, by the F
    distribution at 95 %. Both are taken over the same sizes, so that this is a rule and no exact test. Raises ValueError as
    `fit` does.
    """
    fits = tuple(sorted((fit(sizes, times, law) for law in LAWS), key=lambda one: one.error))
    limit = fits[0].error * math.sqrt(_chance(len(sizes) - 1))
    return Growth(fits, tuple(one.law for one in fits if one.error <= limit))


def power_law(x: Sequence[float], y: Sequence[float]) -> PowerLaw:
    """Return the exponent b of y = a·x^b by least squares over the logarithms, with its 95 % interval.

    The slope of a line and its standard error as in any text (A. Gelman, J. Hill, Data Analysis Using Regression and
    Multilevel/Hierarchical Models, 2007, section 3.4), times Student's quantile with two degrees of freedom less than
    there are points. Raises ValueError for fewer than three points, for what is not positive, and for x all the same.
    """
    xs, ys = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    if xs.shape != ys.shape or xs.size < FEWEST:
        raise ValueError(
            f"{xs.size} and {ys.size} points: a fit takes as many of both, and {FEWEST} at least"
        )
    if not (np.isfinite(xs).all() and np.isfinite(ys).all() and (xs > 0).all() and (ys > 0).all()):
        raise ValueError("a power law is fitted to positive numbers")
    u, v = np.log(xs) - np.mean(np.log(xs)), np.log(ys) - np.mean(np.log(ys))
    spread = float(u @ u)
    if spread == 0:
        raise ValueError("a power law is fitted to different sizes, not to one")
    slope = float(u @ v) / spread
    freedom = xs.size - 2
    half = _student(freedom) * math.sqrt(float(np.sum((v - slope * u) ** 2)) / freedom / spread)
    return PowerLaw(slope, slope - half, slope + half)


def _checked(sizes: Sequence[float], times: Sequence[float]) -> tuple[Array, Array]:
    n, t = np.asarray(sizes, dtype=np.float64), np.asarray(times, dtype=np.float64)
    if n.shape != t.shape or np.unique(n).size < FEWEST:
        raise ValueError(f"a growth is fitted over {FEWEST} sizes or more, each with a time")
    if not (np.isfinite(n).all() and np.isfinite(t).all() and (n >= 1).all() and (t > 0).all()):
        raise ValueError("a growth is fitted over sizes from 1 on and positive times")
    return n, t


def _student(freedom: int) -> float:
    from scipy.special import stdtrit  # imported late, as in intervals.py

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))


def _chance(freedom: int) -> float:
    """Return the F quantile for two variances of so many degrees of freedom each."""
    from scipy.special import fdtri

    return float(fdtri(freedom, freedom, CONFIDENCE))
