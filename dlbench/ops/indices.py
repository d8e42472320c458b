"""What ops on indices share: how uniform draws fall, and whether an index is one."""

from __future__ import annotations

import math

import numpy as np

from dlbench.ops.dtypes import Array
from dlbench.ops.op import Shape

Positions = np.ndarray[tuple[int], np.dtype[np.intp]]
"""Of single elements of an output, flat in C order."""


def drawn(count: int, shape: Shape, rng: np.random.Generator) -> Array:
    """Return uniform indices below `count`, held as float64 like every tensor on the host."""
    return rng.integers(0, count, shape).astype(np.float64)


def different(draws: int, count: int) -> int:
    """Return how many different indices so many uniform draws below `count` have, as expected and rounded.

    Each of them is missed by all draws with probability (1 - 1/count)^draws.
    """
    if count == 1:
        return 1
    return round(-count * math.expm1(draws * math.log1p(-1 / count)))


def repeats(draws: int, count: int) -> int:
    """Return how often the most frequent of so many uniform draws below `count` occurs, at most all of them.

    By Bernstein's inequality an index that is expected draws/count = m times occurs m + t times or more with a
    probability of at most exp(-t² / (2m + 2t/3)) (S. Boucheron, G. Lugosi & P. Massart, Concentration Inequalities,
    2013, section 2.8). This is m + t where that is 1/count, so that no more than one index is expected beyond.
    """
    mean, log = draws / count, math.log(count)
    return min(draws, math.ceil(mean + log / 3 + math.sqrt(log * log / 9 + 2 * mean * log)))


def out_of_range(name: str, indices: Array, count: int) -> str:
    """Return what is wrong with the first of the indices that is not in [0, count); empty where all are."""
    wrong = ~((indices >= 0) & (indices < count)).ravel()
    if not wrong.any():
        return ""
    first = int(wrong.argmax())
    return f"output {name} is {indices.ravel()[first]:.0f} at position {first}, not an index below {count}"
