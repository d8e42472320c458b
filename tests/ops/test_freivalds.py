from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlbench.ops.freivalds import signs


@given(st.integers(1, 500), st.integers(0, 2**32 - 1))
def test_the_vector_is_of_ones_and_its_sum_is_far_from_0(size: int, seed: int) -> None:
    vector = signs(size, np.random.default_rng(seed))
    assert vector.shape == (size,)
    assert set(vector.tolist()) <= {-1.0, 1.0}
    assert abs(vector.sum()) >= math.sqrt(size) / 2


def test_both_signs_are_as_likely() -> None:
    rng = np.random.default_rng(0)
    drawn = np.array([signs(64, rng) for _ in range(1000)])
    assert np.abs(drawn.mean(axis=0)).max() < 5 / math.sqrt(1000)
