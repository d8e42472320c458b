from __future__ import annotations

import numpy as np
import pytest

from dlbench.analysis.floor import (
    DEFAULT_INTERLEAVED,
    DEFAULT_SEPARATE,
    MIN_FLOOR,
    Floors,
    floors_from,
)

MIDDLES = (3e-6, 30e-6, 300e-6, 3e-3, 0.3)
"""A time in each class."""


def _floors(*groups: tuple[float, float, int], in_turn: bool = False) -> Floors:
    """Return the floors of groups of comparisons: a time, a change that all of them show, and how many."""
    seconds, changes, counts = zip(*groups, strict=True)
    times, logs = np.repeat(seconds, counts), np.repeat(np.log1p(changes), counts)
    return floors_from(times, logs, np.full(times.size, in_turn))


def test_without_a_measurement_the_defaults_stand() -> None:
    found = Floors().at(np.array([1e-6, 1e-6]), np.array([False, True]))
    assert found.tolist() == [DEFAULT_SEPARATE, DEFAULT_INTERLEAVED]
    assert not Floors().measured


@pytest.mark.parametrize(
    ("seconds", "number"), [(9.9e-6, 0), (10e-6, 1), (100e-6, 2), (1e-3, 3), (10e-3, 4), (100.0, 4)]
)
def test_a_case_belongs_to_a_class_by_its_time(seconds: float, number: int) -> None:
    floors = Floors(separate=(0.1, 0.2, 0.3, 0.4, 0.5))
    assert floors.at(np.array([seconds]), np.array([False])).tolist() == [(number + 1) / 10]


def test_a_class_with_enough_comparisons_has_a_floor_of_its_own() -> None:
    floors = _floors(*((time, 0.01 * (number + 1), 20) for number, time in enumerate(MIDDLES)))
    assert floors.separate == pytest.approx((0.01, 0.02, 0.03, 0.04, 0.05))
    assert floors.interleaved == (DEFAULT_INTERLEAVED,) * 5
    assert floors.comparisons(interleaved=False) == 100
    assert floors.comparisons(interleaved=True) == 0
    assert floors.measured


def test_the_floor_holds_95_percent_of_the_comparisons_in_either_direction() -> None:
    logs = np.linspace(-0.04, 0.04, 2001)
    floors = floors_from(np.full(2001, 1e-3), logs, np.ones(2001, dtype=np.bool_))
    assert floors.interleaved[3] == pytest.approx(np.expm1(0.038), rel=1e-3)
    assert floors.separate == (DEFAULT_SEPARATE,) * 5


def test_a_class_with_few_comparisons_takes_the_floor_of_all() -> None:
    floors = _floors((MIDDLES[0], 0.03, 100), (MIDDLES[1], 0.01, 2))
    assert floors.separate == pytest.approx((0.03,) * 5)


def test_or_its_own_where_that_is_larger() -> None:
    floors = _floors((MIDDLES[0], 0.01, 100), (MIDDLES[1], 0.03, 2))
    assert floors.separate == pytest.approx((0.01, 0.03, 0.01, 0.01, 0.01))


def test_a_handful_of_comparisons_never_lowers_the_default() -> None:
    assert _floors((1e-3, 0.001, 5)).separate == (DEFAULT_SEPARATE,) * 5
    assert _floors((1e-3, 0.08, 5)).separate == pytest.approx((0.08,) * 5)


def test_however_quiet_the_machine_there_is_a_least_floor() -> None:
    assert _floors((1e-3, 0.0, 50), in_turn=True).interleaved == (MIN_FLOOR,) * 5
