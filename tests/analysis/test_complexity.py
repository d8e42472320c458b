"""How a benchmark's time grows: fitted over the argument that it told, apart for each setting of the others."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from runs import failed, measured, record, run_of

from dlbench.analysis.complexity import complexities
from dlbench.results.measurement import Measurement


def timed(seconds: float, *, told: str = "n", op: str = "my_sort", **arguments: int) -> Measurement:
    """Return a row that took so long and told its argument in its first visit."""
    case = record("python:sorts", op=op, params=json.dumps(arguments))
    first, *others = measured(case, seconds).visits
    conditions = {"complexity": told} if told else {}
    return Measurement(case, (replace(first, conditions=conditions), *others))


def test_the_planted_law_and_exponent_are_found() -> None:
    (found,) = complexities(run_of([timed(2e-9 * n * n, n=n) for n in (8, 16, 32, 64)]))
    assert (found.name, found.implementation, found.argument, found.setting) == (
        "my_sort",
        "python:sorts",
        "n",
        "",
    )
    assert found.growth is not None
    assert found.exponent is not None
    assert found.growth.best.law == "n^2"
    assert found.growth.best.coefficient == pytest.approx(2e-9)
    assert found.exponent.exponent == pytest.approx(2.0)


def test_each_setting_of_the_other_arguments_has_a_growth_of_its_own() -> None:
    rows = [timed(1e-9 * k * n, k=k, n=n) for k in (1, 5) for n in (8, 16, 32, 64)]
    found = complexities(run_of(rows))
    assert [one.setting for one in found] == ["k=1", "k=5"]
    assert [one.growth.best.coefficient for one in found if one.growth] == pytest.approx([1e-9, 5e-9])


def test_a_benchmark_that_told_no_argument_has_none() -> None:
    assert complexities(run_of([timed(1e-9 * n, told="", n=n) for n in (8, 16, 32, 64)])) == []
    assert complexities(run_of([measured(record(), 1.0)])) == []


def test_a_row_that_failed_is_left_out_of_the_fit_and_counted_where_too_few_are_left() -> None:
    rows = [timed(1e-9 * n, n=n) for n in (8, 16, 32)]
    bad = failed(record("python:sorts", op="my_sort", params='{"n": 64}'), "crashed")
    (found,) = complexities(run_of([*rows, bad]))
    assert found.growth is not None
    assert found.growth.best.law == "n"
    (few,) = complexities(run_of([*rows[:2], bad]))
    assert (few.growth, few.exponent) == (None, None)
    assert few.reason == "2 of 3 sizes have a time: too few for a fit"


def test_an_argument_that_a_row_lacks_is_no_error() -> None:
    assert complexities(run_of([timed(1.0, told="m", n=8)])) == []
