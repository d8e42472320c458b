from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from checked import check
from hypothesis import given
from hypothesis import strategies as st

from dlbench.ops.dtypes import Array
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem
from dlbench.ops.reduction import Argmax, Max, Mean, Norm2, Sum
from dlbench.runner import verify
from dlbench.runner.verify import WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

Reduction = Sum | Mean | Norm2 | Max | Argmax

extents = st.integers(1, 40)
REDUCTIONS: tuple[type[Reduction], ...] = (Sum, Mean, Norm2, Max, Argmax)


def reduced(kind: type[Reduction], x: Array) -> Array:
    rows, cols = x.shape
    return kind(rows=rows, cols=cols).reference("forward", {"x": x})["y"]


def test_the_reductions_of_a_worked_example() -> None:
    x = np.array([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.25]])
    assert reduced(Sum, x).tolist() == [6.0, -0.25]
    assert reduced(Mean, x).tolist() == [2.0, -0.25 / 3]
    assert reduced(Norm2, x).tolist() == [math.sqrt(14), math.sqrt(1.3125)]
    assert reduced(Max, x).tolist() == [3.0, 0.5]
    assert Argmax(rows=2, cols=3).seen("forward", {"x": x}, {"y": np.array([2.0, 1.0])})["y"].tolist() == [
        3.0,
        0.5,
    ]


@given(extents, extents)
def test_each_sum_is_the_exact_one_of_its_row(rows: int, cols: int) -> None:
    op = Sum(rows=rows, cols=cols)
    x = Problem(op).inputs()["x"]
    y = op.reference("forward", {"x": x})["y"]
    assert y.shape == op.outputs("forward")["y"] == (rows,)
    np.testing.assert_allclose(y, [math.fsum(row) for row in x], rtol=1e-12, atol=1e-12)


@given(extents, extents, st.sampled_from(DISTRIBUTIONS))
def test_reductions_are_torchs(rows: int, cols: int, data: Distribution) -> None:
    x = Problem(Sum(rows=rows, cols=cols), "float64", data=data).inputs()["x"]
    tensor = torch.from_numpy(x)
    np.testing.assert_allclose(reduced(Mean, x), tensor.mean(-1).numpy(), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(
        reduced(Norm2, x), torch.linalg.vector_norm(tensor, dim=-1).numpy(), rtol=1e-12
    )
    assert np.array_equal(reduced(Max, x), tensor.amax(-1).numpy())
    op, found = Argmax(rows=rows, cols=cols), {"y": tensor.argmax(-1).double().numpy()}
    assert op.complaint("forward", {"x": x}, found) == ""
    assert np.array_equal(op.seen("forward", {"x": x}, found)["y"], reduced(Argmax, x))


@pytest.mark.parametrize("kind", REDUCTIONS)
def test_single_outputs_are_those_of_the_whole_reference(kind: type[Reduction]) -> None:
    op = kind(rows=30, cols=4)
    inputs = Problem(op).inputs()
    positions = np.array([0, 7, 29], dtype=np.intp)
    whole = op.reference("forward", inputs)["y"]
    assert np.array_equal(op.reference_at("forward", inputs, "y", positions), whole[positions])


def test_counts_are_an_addition_and_a_read_per_element_and_a_write_per_row() -> None:
    op = Sum(rows=3, cols=7)
    assert (op.flops("forward"), op.traffic("forward", 4)) == (21, 4 * (21 + 3))
    assert (op.label(), op.reduction_length("forward")) == ("3×7", 7)


def test_counts_of_the_other_reductions() -> None:
    counts = {
        kind.name: (op.flops("forward"), op.traffic("forward", 4), op.reduction_length("forward"))
        for kind in REDUCTIONS
        for op in [kind(rows=3, cols=7)]
    }
    assert counts == {
        "sum": (21, 4 * 24, 7),
        "mean": (21 + 3, 4 * 24, 7),
        "norm2": (42 + 3, 4 * 24, 7),
        "max": (21, 4 * 24, 1),
        "argmax": (21, 4 * 21 + 8 * 3, 1),
    }


@pytest.mark.parametrize("limit", [0, verify.WHOLE_REFERENCE])
def test_any_column_of_a_largest_element_is_right_and_no_other(
    limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "WHOLE_REFERENCE", limit)
    problem = Problem(Argmax(rows=40, cols=30), data="integers")  # many are 8, the largest of all

    def last(x: Any) -> Any:
        return lambda: x.shape[1] - 1 - x[:, ::-1].argmax(-1)

    def smallest_in_the_last_row(x: Any) -> Any:
        def call() -> Any:
            found = x.argmax(-1)
            found[-1] = x[-1].argmin()
            return found

        return call

    x = problem.inputs()["x"]
    assert (x.argmax(-1) != last(x)()).any()
    assert check(problem, lambda x: lambda: x.argmax(-1)) == check(problem, last) == 0
    with pytest.raises(WrongAnswerError, match="output y is -.* instead of .* at position 39"):
        check(problem, smallest_in_the_last_row)
    with pytest.raises(WrongAnswerError, match=r"^output y is 30 at position 0, not an index below 30$"):
        check(problem, lambda x: lambda: np.full(40, 30))
    with pytest.raises(WrongAnswerError, match=r"^output y is int32 instead of int64$"):
        check(problem, lambda x: lambda: x.argmax(-1).astype(np.int32))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_mean_of_one_column_too_few_is_caught(dtype: str) -> None:
    problem = Problem(Mean(rows=20, cols=1000), dtype)
    assert check(problem, lambda x: lambda: x.mean(-1)) < 1e-6
    with pytest.raises(WrongAnswerError, match="output y is"):
        check(problem, lambda x: lambda: x[:, :-1].mean(-1))


def test_a_norm_without_its_root_is_caught() -> None:
    with pytest.raises(WrongAnswerError, match="output y is"):
        check(Problem(Norm2(rows=20, cols=100)), lambda x: lambda: (x * x).sum(-1))
