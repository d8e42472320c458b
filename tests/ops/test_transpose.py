from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlbench.ops.problem import Problem
from dlbench.ops.transpose import Transpose

extents = st.integers(1, 40)


def test_the_transpose_of_a_worked_example() -> None:
    x = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    y = Transpose(rows=2, cols=3).reference("forward", {"x": x})["y"]
    assert y.tolist() == [[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]]


@given(extents, extents)
def test_the_transpose_of_the_transpose_is_the_matrix(rows: int, cols: int) -> None:
    there, back = Transpose(rows=rows, cols=cols), Transpose(rows=cols, cols=rows)
    x = Problem(there).inputs()["x"]
    y = there.reference("forward", {"x": x})["y"]
    assert y.shape == there.outputs("forward")["y"]
    assert np.array_equal(back.reference("forward", {"x": y})["y"], x)


def test_the_transpose_is_contiguous_and_shares_no_memory_with_the_matrix() -> None:
    x = np.zeros((1, 5))
    y = Transpose(rows=1, cols=5).reference("forward", {"x": x})["y"]
    assert y.flags.c_contiguous
    assert not np.shares_memory(x, y)


def test_counts_are_a_read_and_a_write_per_element_and_no_operation() -> None:
    op = Transpose(rows=3, cols=7)
    assert (op.flops("forward"), op.traffic("forward", 8)) == (0, 8 * 2 * 21)
    assert (op.label(), op.reduction_length("forward")) == ("3×7", 1)
