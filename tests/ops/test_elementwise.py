from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dlbench.ops.elementwise import Relu


def test_relu_of_a_worked_example() -> None:
    x = np.array([-2.0, -0.0, 0.5, 3.0])
    assert Relu(n=4).reference("forward", {"x": x})["y"].tolist() == [0.0, 0.0, 0.5, 3.0]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20))
def test_relu_and_relu_of_the_negative_are_the_two_parts_of_a_number(values: list[float]) -> None:
    x, op = np.array(values), Relu(n=len(values))
    above, below = (op.reference("forward", {"x": sign * x})["y"] for sign in (1, -1))
    assert np.array_equal(above - below, x)
    assert (above >= 0).all()


def test_relu_leaves_its_input_alone_and_shares_no_memory_with_it() -> None:
    x = np.array([-1.0, 2.0])
    assert not np.shares_memory(Relu(n=2).reference("forward", {"x": x})["y"], x)
    assert x.tolist() == [-1.0, 2.0]


def test_counts_are_an_operation_a_read_and_a_write_per_element() -> None:
    op = Relu(n=1_000_000)
    assert (op.flops("forward"), op.traffic("forward", 2)) == (10**6, 4 * 10**6)
    assert (op.label(), op.reduction_length("forward")) == ("1,000,000", 1)
