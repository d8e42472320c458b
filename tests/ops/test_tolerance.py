"""The tolerance lets every right answer pass and no sum with a missing term."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dlbench.ops.conv import Conv2d
from dlbench.ops.dtypes import DTYPES, FLOATS, Array, rounded
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import DISTRIBUTIONS, Distribution, Op
from dlbench.ops.problem import Problem
from dlbench.ops.softmax import LogSoftmax, Softmax
from dlbench.ops.stream import Triad
from dlbench.ops.tolerance import SAFETY, tolerance

RESNET_SUMS = (64, 147, 576, 2048, 4608)
"""Products behind an output: 1×1 of 64 channels, 7×7 of 3, 3×3 of 64, 1×1 of 2048, 3×3 of 512."""
PRODUCT = Matmul(m=50, n=60, k=70)
OPS = (
    PRODUCT,
    Conv2d(c=8, h=20, w=20, k=8, r=3, s=3),
    Softmax(rows=500, cols=1000),
    LogSoftmax(rows=500, cols=1000),
    Triad(n=10**5),
)


def error(values: Array, reference: Array) -> float:
    rms = float(np.sqrt(np.mean(reference**2)))
    return float(np.abs(values - reference).max()) / (rms or 1.0)


@pytest.mark.parametrize("data", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_the_nearest_answer_in_the_dtype_passes(op: Op, dtype: str, data: Distribution) -> None:
    problem = Problem(op, dtype, data=data)
    (reference,) = op.reference("forward", problem.inputs()).values()
    assert error(rounded(reference, dtype), reference) <= tolerance(problem) / 2


@pytest.mark.parametrize("length", RESNET_SUMS)
def test_a_dropped_term_of_a_single_sum_is_caught_at_float32(length: int) -> None:
    """The term of median size of one output, while all others are exact."""
    problem = Problem(Matmul(m=16, n=16, k=length))
    inputs = problem.inputs()
    reference = problem.op.reference("forward", inputs)["c"]
    terms = inputs["a"][3] * inputs["b"][:, 5]
    wrong = reference.copy()
    wrong[3, 5] -= terms[np.argsort(np.abs(terms))[length // 2]]
    assert error(wrong, reference) > 20 * tolerance(problem)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_softmax_whose_sum_misses_its_last_column_is_caught(dtype: str) -> None:
    problem = Problem(Softmax(rows=100, cols=1000), dtype)
    inputs = problem.inputs()
    powers = np.exp(inputs["x"])
    wrong = powers / powers[:, :-1].sum(axis=1, keepdims=True)
    assert error(wrong, problem.op.reference("forward", inputs)["y"]) > 10 * tolerance(problem)


@pytest.mark.parametrize("name", FLOATS)
def test_the_rule_is_the_one_that_is_documented(name: str) -> None:
    dtype = DTYPES[name]
    expected = SAFETY * (dtype.roundoff + dtype.accumulator_roundoff * math.sqrt(70))
    assert tolerance(Problem(PRODUCT, name)) == expected


@pytest.mark.parametrize(("rows", "cols"), [(1000, 1000), (4096, 64), (1, 1), (7, 2)])
def test_the_crest_of_softmax_is_about_that_of_its_normal_data(rows: int, cols: int) -> None:
    op = Softmax(rows=rows, cols=cols)
    y = op.reference("forward", Problem(op).inputs())["y"]
    stands_out = float(y.max() / np.sqrt(np.mean(y**2)))
    normal = max(1.0, math.sqrt(2 * math.log(rows * cols + 1)))
    assert 0.5 * stands_out <= op.crest("forward") * normal <= 3 * stands_out + normal
