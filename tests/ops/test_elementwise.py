from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checked import check
from hypothesis import given
from hypothesis import strategies as st

from dlbench.ops.activation import Relu
from dlbench.ops.dtypes import FLOATS, Array, rounded
from dlbench.ops.elementwise import BiasAdd, Divide, Exp, Multiply, Sqrt
from dlbench.ops.op import DISTRIBUTIONS, Distribution, Op
from dlbench.ops.problem import Problem
from dlbench.runner.verify import WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

N = 1025
TORCHS: tuple[tuple[type[Op], Callable[..., Any]], ...] = (
    (Multiply, torch.mul),
    (Divide, torch.div),
    (Exp, torch.exp),
    (Sqrt, torch.sqrt),
)


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


def test_the_keys_of_earlier_runs_are_kept() -> None:
    assert Problem(Relu(n=7)).key == 'relu|{"n": 7}|float32|forward|normal'


def test_arithmetic_of_worked_examples() -> None:
    a, b = np.array([6.0, -1.0]), np.array([2.0, 4.0])
    assert Multiply(n=2).reference("forward", {"a": a, "b": b})["y"].tolist() == [12.0, -4.0]
    assert Divide(n=2).reference("forward", {"a": a, "b": b})["y"].tolist() == [3.0, -0.25]
    assert Exp(n=2).reference("forward", {"x": np.array([0.0, 1.0])})["y"].tolist() == [1.0, math.e]
    assert Sqrt(n=2).reference("forward", {"x": np.array([0.0, 9.0])})["y"].tolist() == [0.0, 3.0]
    x = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    y = BiasAdd(rows=3, cols=2).reference("forward", {"x": x, "b": np.array([10.0, 20.0])})["y"]
    assert y.tolist() == [[11.0, 22.0], [13.0, 24.0], [15.0, 26.0]]


@given(st.integers(1, 50), st.sampled_from(DISTRIBUTIONS))
def test_arithmetic_is_torchs(n: int, data: Distribution) -> None:
    for kind, function in TORCHS:
        op = kind.model_validate({"n": n})
        inputs = Problem(op, "float64", data=data).inputs()
        expected = function(*map(torch.from_numpy, inputs.values())).numpy()
        np.testing.assert_allclose(op.reference("forward", inputs)["y"], expected, rtol=1e-14)


@given(st.integers(1, 20), st.integers(1, 20))
def test_a_bias_is_added_to_every_row(rows: int, cols: int) -> None:
    op = BiasAdd(rows=rows, cols=cols)
    inputs = Problem(op, "float64").inputs()
    y = op.reference("forward", inputs)["y"]
    assert y.shape == op.outputs("forward")["y"]
    for i in range(rows):
        assert np.array_equal(y[i], inputs["x"][i] + inputs["b"])


@pytest.mark.parametrize(
    ("op", "flops", "elements"),
    [
        (Multiply(n=10), 10, 30),
        (Divide(n=10), 10, 30),
        (Exp(n=10), 10, 20),
        (Sqrt(n=10), 10, 20),
        (BiasAdd(rows=3, cols=4), 12, 12 + 4 + 12),
    ],
)
def test_operations_and_bytes_of_arithmetic(op: Op, flops: int, elements: int) -> None:
    assert (op.flops("forward"), op.traffic("forward", 4)) == (flops, 4 * elements)
    assert op.directions == ("forward",)


@pytest.mark.parametrize("data", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_a_divisor_is_away_from_0_and_a_root_is_of_no_negative_number(dtype: str, data: Distribution) -> None:
    divided, rooted = (Problem(op, dtype, data=data).inputs() for op in (Divide(n=N), Sqrt(n=N)))
    assert np.abs(divided["b"]).min() >= 1
    assert rooted["x"].min() >= 0
    for values in (*divided.values(), *rooted.values()):
        assert np.array_equal(rounded(values, dtype), values)


@pytest.mark.parametrize("n", [10, 10**3, 10**5])
@pytest.mark.parametrize("kind", [Multiply, Exp])
def test_a_crest_is_about_that_of_normal_data(kind: type[Multiply] | type[Exp], n: int) -> None:
    op = kind(n=n)
    y = op.reference("forward", Problem(op).inputs())["y"]
    stands_out = float(np.abs(y).max() / np.sqrt(np.mean(y**2)))
    normal = math.sqrt(2 * math.log(n))
    assert 0.5 * stands_out <= op.crest("forward") * normal <= 3 * stands_out + normal


@pytest.mark.parametrize(
    ("op", "wrong"),
    [
        (Multiply(n=N), lambda a, b: a * np.abs(b)),
        (Divide(n=N), lambda a, b: b / a),
        (Exp(n=N), lambda x: 1 + x + x**2 / 2),
        (Sqrt(n=N), lambda x: x / 2 + 0.5),
        (BiasAdd(rows=9, cols=9), lambda x, b: x + b[:, None]),
    ],
)
def test_wrong_arithmetic_is_caught(op: Op, wrong: Callable[..., Array]) -> None:
    with pytest.raises(WrongAnswerError, match="relative error"):
        check(Problem(op), lambda *tensors: lambda: np.asarray(wrong(*tensors), np.float32))
