from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from dlbench.ops.dtypes import FLOATS, rounded
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem
from dlbench.ops.stream import Copy

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


class Grown(Copy):
    """A copy to which two parameters were added, one of them after there had been runs."""

    name: ClassVar[str] = "grown"
    later: ClassVar[tuple[str, ...]] = ("repeats",)

    first: int = 0
    repeats: int = 1


@pytest.mark.parametrize(
    ("op", "params"),
    [
        (Grown(n=3), '{"first": 0, "n": 3}'),
        (Grown(n=3, first=1, repeats=1), '{"first": 1, "n": 3}'),
        (Grown(n=3, repeats=2), '{"first": 0, "n": 3, "repeats": 2}'),
    ],
)
def test_a_parameter_that_came_later_is_left_out_of_the_key_at_its_default(op: Grown, params: str) -> None:
    assert Problem(op).params == params
    assert Problem(op).key == f"grown|{params}|float32|forward|normal"


def test_a_problem_counts_at_the_size_of_its_dtype() -> None:
    problem = Problem(OP, "float16")
    assert (problem.label, problem.flops, problem.traffic) == ("matmul 3×4×5", 120, 2 * (15 + 20 + 12))
