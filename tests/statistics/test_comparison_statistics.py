"""Welch's and paired intervals for many rows at once, and Benjamini-Hochberg."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dlbench.statistics.comparison import (
    FALSE_DISCOVERIES,
    LEAST_SPREAD,
    Estimates,
    Floats,
    Moments,
    Part,
    benjamini_hochberg,
    moments,
    paired,
    weighted_sum,
    welch,
)

ROWS = 20_000


def _flat(rounds: Floats) -> Moments:
    """Return the moments of a table with a line for each row."""
    row = np.repeat(np.arange(len(rounds)), rounds.shape[1])
    return moments(row, rounds.ravel(), len(rounds))


def _normal(seed: int, rows: int, rounds: int, spread: float = 0.02) -> Floats:
    return np.random.default_rng(seed).normal(0.0, spread, (rows, rounds))


def _holds(found: Estimates, truth: float) -> float:
    return float(((found.low <= truth) & (truth <= found.high)).mean())


class TestMoments:
    def test_rows_may_have_different_numbers_of_rounds_in_any_order(self) -> None:
        found = moments(np.array([1, 0, 1, 3, 1]), np.array([2.0, 5.0, 4.0, 1.0, 6.0]), 4)
        assert found.count.tolist() == [1, 3, 0, 1]
        assert found.mean[[0, 1, 3]].tolist() == [5.0, 4.0, 1.0]
        assert np.isnan(found.mean[2])
        assert found.variance.tolist() == [0.0, 4.0, 0.0, 0.0]

    def test_values_far_from_zero_lose_no_digits(self) -> None:
        found = moments(np.zeros(3, dtype=np.int64), np.array([1e6, 1e6 + 1, 1e6 + 2]), 1)
        assert found.variance.tolist() == [1.0]


class TestIntervals:
    @pytest.mark.parametrize("rounds", [(4, 5), (6, 8)])
    def test_separate_rounds_agree_with_scipy(self, rounds: tuple[int, int]) -> None:
        rng = np.random.default_rng(1)
        first, second = rng.normal(1.0, 0.1, (50, rounds[0])), rng.normal(1.05, 0.3, (50, rounds[1]))
        found = welch(_flat(first), _flat(second))
        known = stats.ttest_ind(first, second, axis=1, equal_var=False)
        assert found.p == pytest.approx(known.pvalue)
        interval = known.confidence_interval(0.95)
        assert found.low == pytest.approx(interval.low)
        assert found.high == pytest.approx(interval.high)

    def test_paired_rounds_agree_with_scipy(self) -> None:
        rng = np.random.default_rng(2)
        first, second = rng.normal(1.0, 0.1, (50, 5)), rng.normal(1.05, 0.1, (50, 5))
        found = paired(_flat(first - second))
        known = stats.ttest_rel(first, second, axis=1)
        interval = known.confidence_interval(0.95)
        assert found.p == pytest.approx(known.pvalue)
        assert found.low == pytest.approx(interval.low)
        assert found.high == pytest.approx(interval.high)

    def test_rounds_that_agree_to_the_last_digit_are_given_the_least_spread(self) -> None:
        same = _flat(np.zeros((1, 4)))
        # Student's 97.5 % quantile at 6 degrees of freedom is 2.447, at 3 it is 3.182.
        apart, in_turn = welch(same, same), paired(same)
        assert apart.high[0] == pytest.approx(2.447 * LEAST_SPREAD * np.sqrt(2 / 4), rel=1e-3)
        assert in_turn.high[0] == pytest.approx(3.182 * LEAST_SPREAD / 2, rel=1e-3)
        assert apart.p[0] == in_turn.p[0] == 1.0

    @pytest.mark.parametrize("rounds", [0, 1])
    def test_too_few_rounds_have_no_interval_and_no_p_value(self, rounds: int) -> None:
        few, many = _flat(np.zeros((1, rounds))), _flat(np.zeros((1, 5)))
        for found in (welch(few, many), welch(many, few), paired(few)):
            assert np.isnan([found.low[0], found.high[0], found.p[0]]).all()

    @pytest.mark.parametrize("rounds", [4, 6, 10])
    def test_95_percent_intervals_hold_the_truth_95_percent_of_the_time(self, rounds: int) -> None:
        first, second = _normal(rounds, ROWS, rounds), _normal(rounds + 100, ROWS, rounds)
        assert 0.93 <= _holds(welch(_flat(first), _flat(second)), 0.0) <= 0.97
        assert 0.93 <= _holds(paired(_flat(first - second)), 0.0) <= 0.97

    def test_sides_of_unequal_spread_and_unequal_rounds_are_covered_too(self) -> None:
        first, second = _normal(1, ROWS, 4, 0.05), _normal(2, ROWS, 10, 0.01)
        assert 0.93 <= _holds(welch(_flat(first), _flat(second)), 0.0) <= 0.97


class TestMultipleTesting:
    @pytest.mark.parametrize("seed", range(5))
    def test_it_agrees_with_scipy(self, seed: int) -> None:
        p = np.random.default_rng(seed).random(200) ** 3
        assert (benjamini_hochberg(p) == (stats.false_discovery_control(p) <= FALSE_DISCOVERIES)).all()

    def test_no_rows_are_no_discoveries(self) -> None:
        assert benjamini_hochberg(np.array([])).tolist() == []

    def test_one_row_is_held_to_the_level_itself(self) -> None:
        assert benjamini_hochberg(np.array([0.05])).tolist() == [True]
        assert benjamini_hochberg(np.array([0.051])).tolist() == [False]

    @pytest.mark.parametrize("in_turn", [False, True])
    def test_a_run_against_itself_is_fooled_no_more_often_than_claimed(self, in_turn: bool) -> None:
        sets, rows = 2000, 12
        first, second = _normal(5, sets * rows, 6), _normal(6, sets * rows, 6)
        found = paired(_flat(first - second)) if in_turn else welch(_flat(first), _flat(second))
        fooled = np.array([benjamini_hochberg(p) for p in found.p.reshape(sets, rows)])
        assert fooled.any(axis=1).mean() <= FALSE_DISCOVERIES
        assert fooled.mean() <= 0.02

    @pytest.mark.parametrize("in_turn", [False, True])
    def test_a_change_of_10_percent_in_one_of_12_rows_is_found(self, in_turn: bool) -> None:
        sets, rows = 1000, 12
        first, second = _normal(7, sets * rows, 6), _normal(8, sets * rows, 6)
        second[::rows] += np.log(1.1)
        found = paired(_flat(first - second)) if in_turn else welch(_flat(first), _flat(second))
        told = np.array([benjamini_hochberg(p) for p in found.p.reshape(sets, rows)])
        assert (told[:, 0] & (found.high[::rows] < 0)).mean() >= 0.95


class TestMeanOfRows:
    """A geometric mean over rows is a weighted sum of logs, with the round as the unit."""

    @staticmethod
    def _part(rounds: Floats) -> Part:
        """Return what the mean over rows takes from a table with a line for each row."""
        rows, count = rounds.shape
        number = np.tile(np.arange(count), rows)
        residual = rounds - rounds.mean(axis=1, keepdims=True)
        return Part(number, np.full(rounds.size, 1 / rounds.size), residual.ravel())

    def test_of_one_row_it_is_the_rows_own_interval(self) -> None:
        first, second = _normal(1, 1, 5), _normal(2, 1, 4, 0.05)
        single = welch(_flat(first), _flat(second))
        ends = weighted_sum(float(single.value[0]), [self._part(first), self._part(second)])
        assert ends == pytest.approx((single.low[0], single.high[0]))

    def test_of_one_paired_row_too(self) -> None:
        differences = _normal(3, 1, 5)
        single = paired(_flat(differences))
        ends = weighted_sum(float(single.value[0]), [self._part(differences)])
        assert ends == pytest.approx((single.low[0], single.high[0]))

    def test_what_hits_a_whole_round_does_not_average_out_over_rows(self) -> None:
        shared = np.repeat(_normal(4, 1, 5), 50, axis=0)
        ends = weighted_sum(0.0, [self._part(shared)])
        assert ends[1] == pytest.approx(
            paired(_flat(shared[:1])).high[0] - paired(_flat(shared[:1])).value[0]
        )

    def test_it_covers_what_it_claims_with_noise_of_rounds_and_of_rows(self) -> None:
        rng = np.random.default_rng(5)
        held = 0
        for _ in range(1000):
            sides = [rng.normal(0, 0.02, (1, 6)) + rng.normal(0, 0.02, (8, 6)) for _ in range(2)]
            value = float(sides[0].mean() - sides[1].mean())
            low, high = weighted_sum(value, [self._part(side) for side in sides])
            held += low <= 0.0 <= high
        assert 930 <= held <= 970

    def test_one_round_has_no_interval(self) -> None:
        assert np.isnan(weighted_sum(0.0, [self._part(np.zeros((3, 1)))])).all()
        assert np.isnan(weighted_sum(0.0, [])).all()
