from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlbench.ops.problem import Problem
from dlbench.ops.reduction import Sum

extents = st.integers(1, 40)


def test_the_sums_of_a_worked_example() -> None:
    x = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.25]])
    assert Sum(rows=2, cols=3).reference("forward", {"x": x})["y"].tolist() == [6.0, -0.25]


@given(extents, extents)
def test_each_sum_is_the_exact_one_of_its_row(rows: int, cols: int) -> None:
    op = Sum(rows=rows, cols=cols)
    x = Problem(op).inputs()["x"]
    y = op.reference("forward", {"x": x})["y"]
    assert y.shape == op.outputs("forward")["y"] == (rows,)
    np.testing.assert_allclose(y, [math.fsum(row) for row in x], rtol=1e-12, atol=1e-12)


def test_counts_are_an_addition_and_a_read_per_element_and_a_write_per_row() -> None:
    op = Sum(rows=3, cols=7)
    assert (op.flops("forward"), op.traffic("forward", 4)) == (21, 4 * (21 + 3))
    assert (op.label(), op.reduction_length("forward")) == ("3×7", 7)
