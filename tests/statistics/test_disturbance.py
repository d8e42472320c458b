"""Two speeds, drifts and mostly disturbed samples are named; ordinary spread is not."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from dlbench.statistics.disturbance import _drift, _two_modes, disturbance

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]

RISK = 0.01
"""The share of cases without modes or drift in which one of them may be named."""
TRIALS = 1000
LUCK = 0.0075
"""What the Monte-Carlo share may exceed it by: 2.4 standard errors at 1 % of so many trials."""

positive = st.floats(1e-7, 1e3)
some_rounds = st.lists(st.lists(positive, min_size=1, max_size=5), min_size=1, max_size=10)
any_positive = st.floats(0, allow_infinity=False, exclude_min=True)


def processes(*seconds: float) -> list[list[float]]:
    """Return one round of three equal samples for each time."""
    return [[time] * 3 for time in seconds]


def kind(text: str) -> str:
    return text.partition(":")[0]


def test_two_speeds_by_process_are_named_with_both_times() -> None:
    found = disturbance(processes(612e-6, 745e-6, 745e-6, 612e-6, 745e-6, 612e-6, 745e-6), 0.05)
    assert found == "two modes: 612 µs in 3 processes, 745 µs in 4 (22 % apart)"


def test_the_slow_mode_may_hold_two_processes_only() -> None:
    found = disturbance(processes(1e-3, 1e-3, 2e-3, 1e-3, 1e-3, 1e-3, 2e-3), 0.05)
    assert found == "two modes: 1.00 ms in 5 processes, 2.00 ms in 2 (100 % apart)"


def test_one_outlier_process_is_not_a_mode() -> None:
    assert disturbance(processes(1e-3, 1e-3, 1e-3, 1.3e-3, 1e-3, 1e-3, 1e-3), 0.05) == ""


def test_an_outlier_beside_two_modes_hides_neither() -> None:
    found = disturbance(processes(1.0, 1.3, 1.0, 1.3, 1.33, 1.0, 1.3, 1.0), 0.05)
    assert found == "two modes: 1.00 s in 4 processes, 1.31 s in 4 (31 % apart)"


def test_speeds_less_than_five_percent_apart_are_left_to_the_interval() -> None:
    assert disturbance(processes(1.0, 1.04, 1.0, 1.04, 1.0, 1.04), 0.05) == ""
    assert kind(disturbance(processes(1.0, 1.06, 1.0, 1.06, 1.0, 1.06), 0.05)) == "two modes"


def test_groups_that_are_wide_for_their_distance_are_not_modes() -> None:
    assert disturbance(processes(1.0, 1.32, 1.05, 1.25, 1.1, 1.2, 1.02, 1.3), 0.05) == ""


def test_modes_are_sought_at_the_headline_quantile() -> None:
    fast_at_best = [[1.0] * 5 + [1.4] * 5, [1.0] * 10]
    assert disturbance(fast_at_best * 3, 0.05) == ""
    slow_in_the_middle = [[1.0] * 4 + [1.4] * 6, [1.0] * 10]
    assert disturbance(slow_in_the_middle * 3, 0.5) == (
        "two modes: 1.00 s in 3 processes, 1.40 s in 3 (40 % apart)"
    )


def test_a_steady_slowing_is_a_drift() -> None:
    assert disturbance(processes(*np.geomspace(1.0, 1.18, 8)), 0.05) == (
        "drift: 18 % slower from the first process to the last"
    )


def test_a_steady_quickening_is_a_drift_of_the_same_size() -> None:
    assert disturbance(processes(*np.geomspace(1.18, 1.0, 8)), 0.05) == (
        "drift: 18 % faster from the first process to the last"
    )


def test_a_drift_below_five_percent_is_left_to_the_interval() -> None:
    assert disturbance(processes(*np.geomspace(1.0, 1.04, 8)), 0.05) == ""


def test_the_same_times_in_no_order_are_no_drift() -> None:
    times = np.geomspace(1.0, 1.18, 8)[[3, 0, 6, 2, 7, 1, 4, 5]]
    assert disturbance(processes(*times), 0.05) == ""


def test_one_slow_last_process_is_no_drift() -> None:
    assert disturbance(processes(1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.4), 0.05) == ""


def test_a_step_in_time_is_two_modes_because_both_times_say_more_than_a_slope() -> None:
    assert disturbance(processes(1.0, 1.0, 1.0, 1.2, 1.2, 1.2), 0.05) == (
        "two modes: 1.00 s in 3 processes, 1.20 s in 3 (20 % apart)"
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_fewer_than_four_processes_show_neither_modes_nor_drift(count: int) -> None:
    assert disturbance(processes(1.0, 1.2, 1.4)[:count], 0.05) == ""


def test_a_median_far_above_the_low_quantile_is_named_even_for_one_process() -> None:
    assert disturbance([[1.0, 1.0, 1.8, 1.8, 1.9]], 0.05) == (
        "heavily disturbed: half of the samples took more than 1.8 times the 5 % quantile"
    )


def test_a_median_a_little_above_the_low_quantile_is_ordinary() -> None:
    assert disturbance([[1.0, 1.0, 1.4, 1.4, 5.0]] * 4, 0.05) == ""


def test_modes_are_named_before_disturbed_samples() -> None:
    rounds = [[1.0] * 2 + [3.0] * 8, [1.5] * 2 + [3.0] * 8] * 4
    assert kind(disturbance(rounds, 0.05)) == "two modes"


def test_a_headline_that_is_the_median_is_never_called_disturbed() -> None:
    assert disturbance([[1.0, 1.0, 5.0, 5.0, 9.0]] * 4, 0.5) == ""


@pytest.mark.parametrize("rounds", [[], [[], []]])
def test_nothing_is_said_without_samples(rounds: list[list[float]]) -> None:
    assert disturbance(rounds, 0.05) == ""


def test_a_process_without_samples_does_not_count() -> None:
    assert disturbance([[1.0], [1.0], [], [1.2]], 0.05) == ""


@given(some_rounds, st.sampled_from([2.0**-20, 0.5, 1024.0]))
def test_what_is_wrong_does_not_depend_on_the_unit(rounds: list[list[float]], factor: float) -> None:
    scaled = [[sample * factor for sample in samples] for samples in rounds]
    assert kind(disturbance(scaled, 0.05)) == kind(disturbance(rounds, 0.05))


@given(st.lists(st.lists(any_positive, max_size=5), max_size=10), st.sampled_from([0.05, 0.5]))
def test_any_positive_samples_are_accepted(rounds: list[list[float]], q: float) -> None:
    assert kind(disturbance(rounds, q)) in {"", "two modes", "drift", "heavily disturbed"}


@given(st.integers(2, 5), st.integers(2, 5), st.floats(1.06, 3.0), st.randoms(use_true_random=False))
def test_two_modes_are_the_same_in_any_order(
    fast: int, slow: int, ratio: float, shuffle: random.Random
) -> None:
    rounds = processes(*[1e-3] * fast, *[1e-3 * ratio] * slow)
    text = disturbance(rounds, 0.05)
    assert kind(text) == "two modes"
    shuffle.shuffle(rounds)
    assert disturbance(rounds, 0.05) == text


WITHOUT_MODES_OR_DRIFT: dict[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "uniform": lambda rng, shape: rng.random(shape),
    "student 2": lambda rng, shape: rng.standard_t(2, shape),
    "student 3": lambda rng, shape: rng.standard_t(3, shape),
    "lognormal": lambda rng, shape: rng.lognormal(0, 1, shape),
    "exponential": lambda rng, shape: rng.exponential(1, shape) + rng.normal(0, 0.1, shape),
}
"""Log times of processes, without a unit: they are spread far beyond the size below which nothing is said."""


def share_named(draw: Draw, count: int) -> float:
    """Return the share of TRIALS in which modes or a drift are found among so many processes."""
    rng = np.random.default_rng(count)
    return sum(bool(_two_modes(logs) or _drift(logs)) for logs in draw(rng, (TRIALS, count))) / TRIALS


@pytest.mark.parametrize("count", [4, 5, 8])
@pytest.mark.parametrize("spread", WITHOUT_MODES_OR_DRIFT)
def test_ordinary_spread_is_named_in_one_case_of_a_hundred_at_most(spread: str, count: int) -> None:
    assert share_named(WITHOUT_MODES_OR_DRIFT[spread], count) <= RISK + LUCK


@pytest.mark.parametrize(("slowed", "count"), [(0.1, 8), (0.3, 8), (0.3, 10)])
def test_processes_slowed_at_random_are_modes_in_one_case_of_twenty(slowed: float, count: int) -> None:
    """Two or three of them can look alike by chance; the case is not quiet in any way."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        hit = rng.random(shape) < slowed
        return hit * rng.exponential(1, shape) + rng.normal(0, 0.05, shape)

    assert share_named(draw, count) <= 0.065


def sampled(rng: np.random.Generator, logs: NDArray[np.float64]) -> list[list[float]]:
    """Return 100 samples for each process, whose disturbances only add time."""
    times = np.exp(logs[:, None] + np.abs(rng.normal(0, 0.1, (logs.size, 100))))
    return [samples.tolist() for samples in times]


def test_quiet_processes_of_many_samples_are_left_alone() -> None:
    rng = np.random.default_rng(1)
    named = sum(bool(disturbance(sampled(rng, rng.normal(0, 0.05, 8)), 0.05)) for _ in range(300))
    assert named / 300 <= RISK + LUCK


def test_modes_twenty_percent_apart_are_found_in_nineteen_of_twenty_cases() -> None:
    rng = np.random.default_rng(2)
    found = 0
    for _ in range(TRIALS):
        slow = rng.permutation(8) < rng.choice([2, 3, 4, 5, 6], p=np.array([28, 56, 70, 56, 28]) / 238)
        found += kind(_two_modes(slow * np.log(1.2) + rng.normal(0, 0.01, 8))) == "two modes"
    assert found / TRIALS >= 0.95


def test_a_drift_of_twenty_percent_is_found_in_nineteen_of_twenty_cases() -> None:
    rng = np.random.default_rng(3)
    drift = np.log(np.linspace(1, 1.2, 8))
    found = sum(
        kind(disturbance(sampled(rng, drift + rng.normal(0, 0.01, 8)), 0.05)) == "drift" for _ in range(200)
    )
    assert found / 200 >= 0.95
