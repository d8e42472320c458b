"""The random vector of Freivalds' check."""

from __future__ import annotations

import math

import numpy as np

from dlbench.ops.dtypes import Array


def signs(size: int, rng: np.random.Generator) -> Array:
    """Return a random vector of +1 and -1 whose sum is at least half of its standard deviation away from 0.

    Outputs of one sign, as of uniform data, share a large mean. A vector that sums to about 0 would cancel
    the mean and keep the rounding errors, which are in proportion to it: a right answer would look wrong.
    """
    while True:
        vector: Array = rng.choice([-1.0, 1.0], size=size)
        if abs(vector.sum()) >= math.sqrt(size) / 2:
            return vector
