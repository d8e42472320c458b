"""What training steps share: weights, their gradients, and inputs whose answers rounding errors do not decide."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench.ops.dtypes import rounded
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.perceptron import MlpStep
from dlbench.ops.problem import Problem
from dlbench.ops.reinforcement import DqnStep
from dlbench.ops.training import (
    LEEWAY,
    dense_backward,
    dense_flops,
    dense_forward,
    dense_inputs,
    dense_shapes,
    dense_weights,
    off_the_kinks,
    rare_rows,
)

small = st.integers(1, 6)


def test_weights_stand_as_torch_stores_them_layer_by_layer() -> None:
    assert dense_shapes((3, 4, 2), "target_") == {
        "target_w1": (4, 3),
        "target_b1": (4,),
        "target_w2": (2, 4),
        "target_b2": (2,),
    }


def test_two_layers_forward_and_backward_of_a_worked_example() -> None:
    x = np.array([[1.0, 2.0]])
    weights = [
        np.array([[1.0, 1.0], [1.0, -1.0]]),  # 3 and -1, to which the biases add 1 and 0
        np.array([1.0, 0.0]),
        np.array([[2.0, 5.0]]),
        np.array([-1.0]),
    ]
    values = dense_forward(x, weights)
    assert [value.tolist() for value in values] == [[[1.0, 2.0]], [[4.0, 0.0]], [[7.0]]]
    gradients = dense_backward(values, weights, np.array([[10.0]]))
    assert [one.tolist() for one in gradients] == [
        [[20.0, 40.0], [0.0, 0.0]],
        [20.0, 0.0],
        [[40.0, 0.0]],
        [10.0],
    ]


def test_operations_are_three_products_a_layer_and_two_of_the_first() -> None:
    assert dense_flops(5, (7, 3)) == 2 * 5 * (2 * 7 * 3)
    assert dense_flops(5, (7, 3, 4)) == 2 * 5 * (2 * 7 * 3 + 3 * 3 * 4)


@given(small, small, small, st.integers(0, 2**32 - 1))
def test_no_rectified_sum_is_closer_to_0_than_the_leeway_over_the_rows(
    n: int, features: int, units: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((n, features))
    drawn = dense_weights(dense_shapes((features, units, units, 2)), "float64", rng)
    moved = off_the_kinks(x, drawn, "float64")
    assert list(moved) == list(drawn)
    for layer in ("1", "2"):
        sums = x @ moved[f"w{layer}"].T + moved[f"b{layer}"]
        assert np.abs(sums).min() >= LEEWAY / (n + 1) * (1 - 1e-9)
        assert np.abs(moved[f"b{layer}"] - drawn[f"b{layer}"]).max() <= LEEWAY
        x = np.maximum(sums, 0)
    for name in ("w1", "w2", "w3", "b3"):
        assert np.array_equal(moved[name], drawn[name])


@pytest.mark.parametrize(
    "op",
    [
        MlpStep(n=64, in_features=32, hidden_size=256, classes=5, layers=2),
        DqnStep(memory=50, batch=64, state_size=32, hidden_size=256, actions=3),
    ],
)
@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_a_units_sums_are_as_often_positive_as_not_and_never_within_a_rounding_of_0(
    op: MlpStep | DqnStep, data: Distribution
) -> None:
    given = Problem(op, "float32", "forward_backward", data).inputs()
    x = given["x"] if "x" in given else given["states"][given["indices"].astype(int)]
    for layer in ("1", "2"):
        sums = x @ given[f"w{layer}"].T + given[f"b{layer}"]
        assert np.abs(sums).min() > 1e-3
        assert 0.3 < (sums > 0).mean() < 0.7
        x = np.maximum(sums, 0)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_biases_that_are_moved_are_numbers_of_the_dtype(dtype: str) -> None:
    given = Problem(MlpStep(n=3, in_features=4, hidden_size=5, classes=2), dtype, "forward_backward").inputs()
    assert np.array_equal(given["b1"], rounded(given["b1"], dtype))


def test_whole_numbers_are_eighths_from_minus_1_to_1() -> None:
    x = dense_inputs((200,), "float32", "integers", np.random.default_rng(0))
    assert set((8 * x).tolist()) == set(range(-8, 9))


@given(st.integers(1, 40), small)
def test_one_row_in_four_of_every_column_is_unlike_the_others(n: int, columns: int) -> None:
    rare = rare_rows(n, columns, np.random.default_rng(0))
    assert rare.sum(axis=0).tolist() == [n // 4] * columns


def test_the_rows_unlike_the_others_are_not_the_same_in_every_column() -> None:
    rare = rare_rows(40, 2, np.random.default_rng(0))
    assert (rare[:, 0] != rare[:, 1]).any()
