"""Who is measured next, and what is concluded."""

from __future__ import annotations

import random
from typing import Any

import pytest
from standings import PRECISION, case, quiet, standing

from dlbench.results.measurement import Visit
from dlbench.runner.rounds import (
    SITTING,
    Standing,
    due,
    merged,
    shuffled_groups,
    sittings,
    visit_seconds,
    widest_first,
)
from dlbench.timing.stopping import Precision


def test_round_one_visits_every_case() -> None:
    all_of_them = [standing(), standing(m=16)]
    assert due(all_of_them, 1, PRECISION) == all_of_them


def test_a_case_is_visited_until_it_is_precise() -> None:
    converged = standing(*(quiet(n) for n in (1, 2, 3)))
    wide = standing(quiet(1, 1.0), quiet(2, 1.5), quiet(3, 0.8), m=16)
    assert due([converged, wide], 4, PRECISION) == [wide]


def test_a_case_that_failed_is_not_visited_again() -> None:
    assert due([standing(Visit(1, verdict="crashed", reason="SIGSEGV"))], 2, PRECISION) == []


def test_a_resumed_round_skips_what_it_has_visited() -> None:
    assert due([standing(quiet(1))], 1, PRECISION) == []


def test_all_variants_of_a_problem_stay_together_in_any_order() -> None:
    cases = [standing(m=m, variant=v) for m in range(8, 20) for v in ("right", "slow", "wrong")]
    groups = shuffled_groups(cases, random.Random(3))
    assert sorted(len(group) for group in groups) == [3] * 12
    assert all(len({s.case.group for s in group}) == 1 for group in groups)
    assert [group[0].case.group for group in groups] != [cases[i].case.group for i in range(0, 36, 3)]


def test_equal_seeds_give_equal_orders() -> None:
    cases = [standing(m=m) for m in range(8, 20)]
    assert shuffled_groups(cases, random.Random(1)) == shuffled_groups(cases, random.Random(1))


def test_a_budget_alone_goes_to_the_wider_half_once_all_have_the_fewest_rounds() -> None:
    spreads = {8: 0.0, 16: 0.3, 24: 0.2, 32: 0.1}
    all_of_them = [standing(quiet(1), quiet(2, 1 + spread), quiet(3), m=m) for m, spread in spreads.items()]
    spend_it_all = Precision(target=0.03, min_rounds=3, max_rounds=99, enough=0.0)
    assert due(all_of_them, 3, spend_it_all) == []
    assert due(all_of_them, 4, spend_it_all) == all_of_them[1:]


@pytest.mark.parametrize(
    ("left", "rounds", "seconds"),
    [
        (60.0, 3, 0.5),  # three rounds of 12 s fit, so that sampling lasts as long as all the rest
        (24.0, 3, 0.2),  # three rounds of 8 s: 2 s for ten cases
        (15.0, 3, 0.25),  # only two of the shortest fit: 7.5 s each
        (9.0, 3, 0.4),  # only one
        (3.0, 3, 0.1),  # none: the base
    ],
)
def test_a_round_samples_as_long_as_its_overhead_where_time_allows(
    left: float, rounds: int, seconds: float
) -> None:
    found = visit_seconds(base=0.1, overhead=5.0 if left != 24.0 else 6.0, cases=10, left=left, rounds=rounds)
    assert found == pytest.approx(seconds)


def test_with_two_arms_a_problem_is_visited_on_both_or_on_none() -> None:
    done = [standing(*(quiet(n) for n in (1, 2, 3)), m=m) for m in (8, 16)]
    other = [
        Standing(case(8), [quiet(1, 1.0), quiet(2, 1.5), quiet(3, 0.8)], arm=1),
        Standing(case(16), [quiet(1), quiet(2), quiet(3)], arm=1),
    ]
    assert due([*done, *other], 4, PRECISION) == [done[0], other[0]]


def test_a_sitting_holds_what_fits_into_its_time_and_memory() -> None:
    groups = [[standing(m=m)] for m in (8, 16, 24, 32, 40)]
    lots = 2**40
    assert list(sittings(groups, SITTING / 2, lots)) == [groups[:2], groups[2:4], groups[4:]]
    assert list(sittings(groups, 2 * SITTING, lots)) == [[group] for group in groups]
    assert list(sittings(groups, SITTING / 100, 1)) == [[group] for group in groups]
    assert list(sittings(groups, SITTING / 100, lots)) == [groups]
    assert list(sittings([], 1.0, lots)) == []


def test_a_short_budget_goes_to_the_widest_intervals() -> None:
    narrow = [standing(*(quiet(n, duration=4.0) for n in (1, 2, 3)))]
    wide = [standing(quiet(1, 1.0, duration=4.0), quiet(2, 2.0), m=16)]
    assert widest_first([narrow, wide], PRECISION, seconds=5.0) == [wide]
    assert widest_first([narrow, wide], PRECISION, seconds=8.0) == [narrow, wide]
    assert widest_first([narrow, wide], PRECISION, seconds=3.0) == []


def test_conditions_of_turns_are_merged_each_in_its_way() -> None:
    turns: list[dict[str, Any]] = [
        {"switches": 2, "steal": 0.5, "load": 1.0, "sm_clock_mhz": 1400, "host_us": 5.0, "unheld": "waits"},
        {"switches": 3, "steal": 0.25, "load": 2.0, "sm_clock_mhz": 1300, "host_us": 9.0, "discarded": 4},
        {"switches": 0, "steal": 0.0, "load": 0.5, "sm_clock_mhz": 1500, "host_us": 6.0, "unheld": "waits"},
        {"discarded": 2, "unheld": "cannot hold"},
    ]
    assert merged(turns) == {
        "switches": 5,
        "steal": 0.75,
        "load": 2.0,
        "sm_clock_mhz": 1300,
        "host_us": 6.0,
        "unheld": "waits; cannot hold",
        "discarded": 6,
    }
