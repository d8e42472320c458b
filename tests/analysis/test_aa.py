"""A machine against itself: the floors that come out, and how often the rule is fooled."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from runs import ENVIRONMENT, RUN, record, save, steady

from dlbench.analysis.aa import KINDS, find_floors, self_comparison, size_text
from dlbench.analysis.floor import CLASSES, DEFAULT_SEPARATE, MIN_FLOOR
from dlbench.errors import SelectionError
from dlbench.results.digest import Digest, digest_of
from dlbench.results.measurement import Measurement, Run
from dlbench.results.store import Store

SIZES = (5e-6, 50e-6, 500e-6, 5e-3, 50e-3)


def run_of_level(level: float, number: int, side: str, *, aa: str = "x", rounds: int = 6) -> Run:
    """Return a run whose times are so many times the sizes."""
    session = {"id": f"{aa}{number}", "kind": "interleaved", "side": side, "aa": aa, "number": number}
    measurements = [
        Measurement(
            record(params=f'{{"n": {index}}}', problem=f"softmax {index}"),
            tuple(steady(seconds * level * (1 + 0.001 * (turn % 2)), turn + 1) for turn in range(rounds)),
        )
        for index, seconds in enumerate(SIZES)
    ]
    return replace(
        RUN, id=f"aa-{aa}-{number}{side}", name=f"aa-test-{side}", measurements=tuple(measurements),
        started=f"2026-01-02T03:0{number}:05+00:00", environment={**ENVIRONMENT, "session": session},
    )  # fmt: skip


def sessions(*levels: float) -> list[list[Digest]]:
    return [
        [digest_of(run_of_level(level, number, side)) for side in "AB"] for number, level in enumerate(levels)
    ]


def test_equal_runs_give_the_least_floor_and_no_change() -> None:
    found = self_comparison(sessions(1.0, 1.0, 1.0))
    assert found.floors.separate == (MIN_FLOOR,) * CLASSES
    assert found.floors.separate_comparisons == 6 * len(SIZES)
    assert found.floors.interleaved_comparisons == 3 * len(SIZES)
    assert list(found.table["changed"]) == [0] * 10
    assert list(found.table["kind"]) == [KINDS[0]] * 5 + [KINDS[1]] * 5
    assert list(found.table["comparisons"]) == [3] * 5 + [6] * 5


def test_sessions_that_differ_raise_the_floor_of_separate_runs_only() -> None:
    found = self_comparison(sessions(1.0, 1.1, 1.0, 1.1))
    assert found.floors.separate == pytest.approx((0.1,) * CLASSES, rel=0.02)
    assert max(found.floors.interleaved) < 0.021
    separate = found.table[found.table["kind"] == "separate"]
    assert separate["outside"].sum() == 8 * len(SIZES)  # of 12 pairs a case, 8 are a fast and a slow session
    assert separate["changed"].sum() == 0


def test_one_session_leaves_separate_runs_the_default() -> None:
    found = self_comparison(sessions(1.0))
    assert found.floors.separate == (DEFAULT_SEPARATE,) * CLASSES


def test_nothing_measured_is_one_clear_error() -> None:
    empty = replace(run_of_level(1.0, 0, "A"), measurements=(Measurement(record()),))
    other = replace(empty, id="b")
    with pytest.raises(SelectionError, match="no case was measured twice; give it more --budget"):
        self_comparison([[digest_of(empty), digest_of(other)]])


def test_sizes_are_named_by_their_bounds() -> None:
    names = [size_text(number) for number in range(CLASSES)]
    assert names == [
        "under 10.0 µs",
        "10.0 µs to 100 µs",
        "100 µs to 1.00 ms",
        "1.00 ms to 10.0 ms",
        "10.0 ms and more",
    ]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "runs.db") as opened:
        yield opened


def test_the_newest_self_comparison_of_this_machine_gives_the_floors(store: Store) -> None:
    assert find_floors(store, ENVIRONMENT) is None
    for aa, levels in (("old", (1.0, 1.3)), ("new", (1.0, 1.1))):
        for number, level in enumerate(levels):
            for side in "AB":
                run = run_of_level(level, number, side, aa=aa)
                save(
                    store,
                    replace(run, started=run.started.replace("2026", "2026" if aa == "old" else "2027")),
                )
    found = find_floors(store, ENVIRONMENT)
    assert found is not None
    assert np.max(found.separate) == pytest.approx(0.1, rel=0.02)
    assert find_floors(store, {**ENVIRONMENT, "threads": 1}) is None


def test_a_self_comparison_that_was_interrupted_gives_no_floors(store: Store) -> None:
    for side in "AB":
        save(store, replace(run_of_level(1.0, 0, side), finished=""))
    assert find_floors(store, ENVIRONMENT) is None
