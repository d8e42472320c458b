from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench.ops.problem import Problem
from dlbench.ops.softmax import LogSoftmax, Softmax

extents = st.integers(1, 40)


def test_the_softmax_of_a_worked_example() -> None:
    y = Softmax(rows=1, cols=4).reference("forward", {"x": np.array([[5.0, 2.0, -1.0, 3.0]])})["y"]
    assert y.round(3).tolist() == [[0.842, 0.042, 0.002, 0.114]]


@given(extents, extents)
def test_every_row_sums_to_1(rows: int, cols: int) -> None:
    op = Softmax(rows=rows, cols=cols)
    y = op.reference("forward", Problem(op).inputs())["y"]
    np.testing.assert_allclose(y.sum(axis=1), 1, rtol=1e-12)


@given(extents, extents)
def test_log_softmax_is_the_logarithm_of_softmax(rows: int, cols: int) -> None:
    x = Problem(Softmax(rows=rows, cols=cols)).inputs()
    y = Softmax(rows=rows, cols=cols).reference("forward", x)["y"]
    np.testing.assert_allclose(
        LogSoftmax(rows=rows, cols=cols).reference("forward", x)["y"], np.log(y), rtol=1e-12, atol=1e-12
    )


@pytest.mark.parametrize("op", [Softmax, LogSoftmax])
def test_large_inputs_do_not_overflow(op: type[Softmax] | type[LogSoftmax]) -> None:
    y = op(rows=1, cols=2).reference("forward", {"x": np.array([[1e4, -1e4]])})["y"]
    assert np.isfinite(y).all()


@pytest.mark.parametrize("op", [Softmax, LogSoftmax])
def test_counts_are_five_operations_and_two_passes_of_memory_per_element(
    op: type[Softmax] | type[LogSoftmax],
) -> None:
    one = op(rows=3, cols=7)
    assert (one.flops("forward"), one.traffic("forward", 4)) == (5 * 21, 4 * 2 * 21)
    assert (one.label(), one.reduction_length("forward")) == ("3×7", 7)
