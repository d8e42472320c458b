"""Two functions of the user's own, in turn: who is called when, what the ratio says, and how often it is wrong."""

from __future__ import annotations

import gc
import math
import random
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path

import pytest
import torch
from fakes import FakeClock

import dlbench
from dlbench.runner.measure import Timing
from dlbench.runner.pair import MIN_WINDOWS, Pair, Verdict, compare_calls
from dlbench.statistics import PRIOR_SPREAD, Interval


@pytest.fixture(autouse=True)
def _no_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under fake time, most of a test would be the garbage collector's, which plays no part in what is found."""
    monkeypatch.setattr(gc, "collect", lambda: 0)
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 1)


class Bench:
    """A fake clock whose every call takes as long as that call says."""

    def __init__(self) -> None:
        self._last = 0.0
        self.clock = FakeClock(cost=lambda: self._last)
        self.calls: list[tuple[str, float]] = []

    def call(self, name: str, cost: Callable[[], float]) -> Callable[[], None]:
        def function() -> None:
            self.calls.append((name, self.clock.moment))
            self._last = cost()

        function.__name__ = name
        return function

    def compare(
        self,
        first: Callable[[], float],
        second: Callable[[], float],
        *,
        precision: float = 0.02,
        budget: float = 5.0,
    ) -> Pair:
        calls = self.call("theirs", first), self.call("mine", second)
        return compare_calls(*calls, clock=self.clock, precision=precision, budget=budget)


def steady(seconds: float) -> Callable[[], float]:
    return lambda: seconds


def noisy(seconds: float, spread: float, rng: random.Random) -> Callable[[], float]:
    return lambda: seconds * math.exp(rng.gauss(0, spread))


def timing(name: str, seconds: float, windows: int = 5) -> Timing:
    return Timing(name, Interval(seconds, seconds, seconds), seconds, 100, windows, "HostClock")


def pair(ratio: float, low: float, high: float, verdict: Verdict, windows: int = 5) -> Pair:
    return Pair(
        timing("theirs", 1e-3, windows), timing("mine", 1e-3 / ratio, windows), ratio, low, high, verdict
    )


def test_the_ratio_is_the_firsts_time_over_the_seconds() -> None:
    found = Bench().compare(steady(3e-3), steady(2e-3))
    assert found.ratio == pytest.approx(1.5)
    assert found.verdict == "faster"
    assert found.first.time.value == pytest.approx(3e-3)
    assert found.second.time.value == pytest.approx(2e-3)


def test_swapping_the_two_inverts_the_ratio_and_the_verdict() -> None:
    found = Bench().compare(steady(2e-3), steady(3e-3))
    assert found.ratio == pytest.approx(2 / 3)
    assert found.verdict == "slower"


def test_equal_functions_are_the_same() -> None:
    found = Bench().compare(steady(2e-3), steady(2e-3))
    assert found.ratio == pytest.approx(1)
    assert found.verdict == "same"


@pytest.mark.parametrize("change", [1.015, 1 / 1.015])
def test_a_change_below_the_floor_is_none_even_where_the_interval_excludes_one(change: float) -> None:
    found = Bench().compare(steady(2e-3 * change), steady(2e-3), precision=0.004)
    assert not found.ratio_low <= 1 <= found.ratio_high
    assert found.verdict == "same"


def test_a_change_about_the_floor_is_left_open() -> None:
    assert Bench().compare(steady(2e-3 * 1.018), steady(2e-3)).verdict == "inconclusive"


def test_a_change_just_above_the_floor_is_one() -> None:
    assert Bench().compare(steady(2e-3 * 1.021), steady(2e-3)).verdict == "faster"


def test_equal_windows_leave_the_prior_alone() -> None:
    found = Bench().compare(steady(2e-3), steady(2e-3))
    assert found.first.windows == found.second.windows == MIN_WINDOWS
    # Variance PRIOR² / (5 · 5), Student at 5 degrees of freedom 2.571: ±1 %.
    assert math.log(found.ratio_high / found.ratio_low) / 2 == pytest.approx(
        2.571 * PRIOR_SPREAD / 5, rel=1e-3
    )


def test_turns_go_there_and_back_and_the_next_window_starts_with_the_other() -> None:
    bench = Bench()
    found = bench.compare(steady(2e-3), steady(2e-3))
    timed = groupby(name for name, moment in bench.calls if moment > 0)
    # Two warm-ups and two calibrations come first; neighbouring turns of one function stand as one.
    turns = [(name, len(list(calls))) for name, calls in timed][4:]
    one = turns[0][1]
    there, back = (
        [("theirs", one), ("mine", 2 * one), ("theirs", one)],
        [("mine", one), ("theirs", 2 * one), ("mine", one)],
    )
    assert turns == there + back + there + back + there
    assert found.first.samples == found.second.samples


def test_a_slow_function_gets_windows_of_one_turn_each() -> None:
    bench = Bench()
    found = bench.compare(steady(0.2), steady(0.2), budget=5.0)
    assert found.first.windows == found.first.samples == MIN_WINDOWS
    assert found.verdict == "same"


def test_it_stops_at_the_precision_or_before_the_budget_is_exceeded() -> None:
    bench = Bench()
    fine = bench.compare(steady(2e-3), steady(2e-3), precision=0.004, budget=100.0)
    assert fine.first.windows > MIN_WINDOWS
    assert bench.clock.moment < 2.0
    bench = Bench()
    rng = random.Random(1)
    rough = bench.compare(noisy(2e-3, 0.3, rng), noisy(2e-3, 0.3, rng), precision=1e-6, budget=1.0)
    assert rough.first.windows > MIN_WINDOWS
    assert bench.clock.moment <= 1.0


def test_a_budget_for_few_windows_concludes_nothing() -> None:
    found = Bench().compare(steady(0.2), steady(0.1), budget=1.2)
    assert found.first.windows < 4
    assert found.ratio == pytest.approx(2)
    assert found.verdict == "inconclusive"


def test_every_window_is_whole() -> None:
    bench = Bench()
    found = bench.compare(steady(2e-3), steady(2e-3), precision=1e-6, budget=0.777)
    assert found.first.samples % found.first.windows == 0
    assert found.first.samples == found.second.samples


def test_a_drift_that_both_share_does_not_change_the_ratio() -> None:
    bench = Bench()

    def drifting(seconds: float) -> Callable[[], float]:
        return lambda: seconds * (1 + 0.3 * bench.clock.moment)

    found = bench.compare(drifting(3e-3), drifting(2e-3), precision=0.005)
    assert found.ratio == pytest.approx(1.5, rel=2e-3)
    assert found.second.time.half_width > 10 * math.log(found.ratio / 1.5)


def test_functions_about_as_fast_are_averaged_over_as_many_calls() -> None:
    bench = Bench()
    bench.compare(steady(1.01e-3), steady(0.99e-3))
    assert set(bench.clock.timed[-20:]) == {2}


def verdicts(first: float, second: float, trials: int) -> list[Verdict]:
    """Return what is said of two functions whose calls scatter by 3 %, in so many comparisons of five to seven windows."""
    rng = random.Random(7)
    return [
        Bench().compare(noisy(first, 0.03, rng), noisy(second, 0.03, rng), budget=1.0).verdict
        for _ in range(trials)
    ]


def test_of_identical_noisy_functions_at_most_one_in_fifty_is_called_changed() -> None:
    found = verdicts(6e-3, 6e-3, 200)
    assert found.count("faster") + found.count("slower") <= 4


def test_of_changes_by_a_tenth_nineteen_in_twenty_are_found() -> None:
    assert verdicts(6.6e-3, 6e-3, 40).count("faster") >= 38


def test_what_a_function_raises_is_raised() -> None:
    clock = FakeClock(cost=lambda: 1e-3)

    def fails_when_timed() -> None:
        if clock.moment > 0.3:
            raise KeyError("late")

    with pytest.raises(ZeroDivisionError):
        compare_calls(int, lambda: 1 / 0, clock=clock)
    with pytest.raises(KeyError, match="late"):
        compare_calls(int, fails_when_timed, clock=clock)
    assert gc.isenabled()


@pytest.mark.parametrize("wrong", [{"budget": 0}, {"budget": -1}, {"precision": 0}, {"precision": math.nan}])
def test_limits_must_be_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        compare_calls(int, int, **wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("calls", "names", "expected"),
    [
        ((int, dict), ("", ""), ("int", "dict")),
        ((partial(sorted, [2, 1]), partial(sum, [1])), ("", ""), ("sorted", "sum")),
        ((lambda: 1, lambda: 2), ("", ""), ("first", "second")),
        ((lambda: 1, lambda: 2), ("theirs", "mine"), ("theirs", "mine")),
        ((int, int), ("", "mine"), ("int", "mine")),
    ],
)
def test_functions_are_called_by_their_names_where_these_tell_them_apart(
    calls: tuple[Callable[[], object], Callable[[], object]],
    names: tuple[str, str],
    expected: tuple[str, str],
) -> None:
    found = compare_calls(*calls, names=names, clock=FakeClock(cost=lambda: 1e-3))
    assert (found.first.name, found.second.name) == expected


def test_operations_are_counted_of_each() -> None:
    a, b = torch.ones(64, 32), torch.ones(32, 16)
    found = compare_calls(partial(torch.matmul, a, b), lambda: a[:32] @ b, clock=FakeClock(cost=lambda: 0.1))
    assert found.first.flops == 2 * 64 * 32 * 16
    assert found.second.flops == 64 * 32 * 16


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (
            pair(1.2304, 1.2106, 1.2502, "faster"),
            "mine is 1.23 times as fast as theirs [1.21, 1.25]: faster (813 µs against 1.00 ms)",
        ),
        (
            pair(1 / 1.2304, 1 / 1.2502, 1 / 1.2106, "slower"),
            "mine takes 1.23 times as long as theirs [1.21, 1.25]: slower (1.23 ms against 1.00 ms)",
        ),
        (
            pair(1.0031, 0.9951, 1.0112, "same"),
            "mine is 1.003 times as fast as theirs [0.995, 1.011]: same within 2% (997 µs against 1.00 ms)",
        ),
        (
            pair(1.03, 0.9601, 1.1, "inconclusive", windows=3),
            (
                "mine is 1.03 times as fast as theirs [0.96, 1.10]: inconclusive after 3 windows, "
                "give it more budget or a finer precision (971 µs against 1.00 ms)"
            ),
        ),
        (
            pair(25.44, 24.91, 25.98, "faster"),
            "mine is 25.4 times as fast as theirs [24.9, 26.0]: faster (39.3 µs against 1.00 ms)",
        ),
    ],
)
def test_a_pair_reads_as_one_line(found: Pair, text: str) -> None:
    assert repr(found) == text


def test_importing_it_imports_no_framework() -> None:
    program = (
        "import sys; import dlbench.runner.pair; "
        "print(*sorted({'torch', 'numba', 'cupy', 'pandas'} & set(sys.modules)))"
    )
    root = str(Path(dlbench.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"
