from __future__ import annotations

import numpy as np
import pytest

from dlbench.ops.dtypes import FLOATS, rounded
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem

OP = Matmul(m=3, n=4, k=5)


def test_the_same_problem_and_seed_give_the_same_inputs() -> None:
    for one, other in zip(Problem(OP).inputs(7).values(), Problem(OP).inputs(7).values(), strict=True):
        assert np.array_equal(one, other)


def test_another_seed_gives_other_inputs() -> None:
    assert not np.array_equal(Problem(OP).inputs(0)["a"], Problem(OP).inputs(1)["a"])


@pytest.mark.parametrize("data", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_inputs_are_numbers_of_the_dtype(dtype: str, data: Distribution) -> None:
    for values in Problem(OP, dtype, data=data).inputs().values():
        assert np.array_equal(rounded(values, dtype), values)


def test_the_key_tells_problems_apart() -> None:
    keys = {
        Problem(OP).key,
        Problem(OP, "float64").key,
        Problem(OP, data="zeros").key,
        Problem(Matmul(m=3, n=4, k=6)).key,
    }
    assert len(keys) == 4


def test_a_problem_counts_at_the_size_of_its_dtype() -> None:
    problem = Problem(OP, "float16")
    assert (problem.label, problem.flops, problem.traffic) == ("matmul 3×4×5", 120, 2 * (15 + 20 + 12))
