"""A growth in two lines: the law, how well it fits and what it is not told apart from, and the exponent."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dlbench.analysis.complexity import Complexity
from dlbench.report.complexity import lines, print_complexities
from dlbench.statistics.fits import Fit, Growth, PowerLaw

OTHERS = tuple(Fit(law, 1e-9, 0.5) for law in ("1", "log n", "n^2", "n^3"))


def complexity(*fits: Fit, level: int = 1, argument: str = "n", setting: str = "") -> Complexity:
    growth = Growth((*fits, *OTHERS), tuple(one.law for one in fits[:level]))
    return Complexity("my_sort", "python:sorts", argument, setting, growth, PowerLaw(1.1, 1.05, 1.15))


def test_the_best_law_is_told_with_its_error_and_the_next() -> None:
    assert lines(complexity(Fit("n log n", 4.32e-9, 0.021), Fit("n", 5e-9, 0.15))) == [
        "time ≈ 4.32 ns · n log n: the best fit, 2.1% RMS error; next is n with 15.0%",
        "as a power of n: exponent 1.10 [1.05, 1.15]",
    ]


def test_laws_that_are_level_are_told_apart_from_none() -> None:
    (first, _) = lines(complexity(Fit("n", 5e-9, 0.02), Fit("n log n", 4e-9, 0.021), level=2))
    assert first == "time ≈ 5.00 ns · n: the best fit, 2.0% RMS error, not told apart from n log n"


@pytest.mark.parametrize(
    ("fit", "told"),
    [
        (Fit("1", 3e-6, 0.01), "time ≈ 3.00 µs: "),
        (Fit("n^2", 3e-6, 0.01), "time ≈ 3.00 µs · rows^2: "),
        (Fit("log n", 3e-6, 0.01), "time ≈ 3.00 µs · log rows: "),
    ],
)
def test_the_law_is_in_the_arguments_own_name(fit: Fit, told: str) -> None:
    (first, _) = lines(complexity(fit, argument="rows"))
    assert first.startswith(told)


def test_where_there_is_no_fit_the_reason_stands() -> None:
    console = Console(file=io.StringIO(), width=100)
    print_complexities(console, [Complexity("my_sort", "python:sorts", "n", "k=3", reason="too few")])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == "\nGrowth of my_sort with n · python:sorts · k=3\n  too few\n"


def test_without_a_growth_nothing_is_printed() -> None:
    console = Console(file=io.StringIO())
    print_complexities(console, [])
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == ""
