from __future__ import annotations

import sqlite3
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from run_strategies import runs
from runs import failed, measured, record, run_of, save, steady

from dlbench.errors import SelectionError, StoreError
from dlbench.results import digest
from dlbench.results.digest import Digest, digest_of
from dlbench.results.measurement import CaseRecord, Measurement, Run, Visit
from dlbench.results.store import Store
from dlbench.statistics import LOW_QUANTILE, quantile

A, B = record("numba:naive"), record("torch:library")
FIELDS = list(CaseRecord.__dataclass_fields__)
ROUNDS = ["case", "round", "low", "median", "samples"]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "runs.db")


def _stored(run: Run) -> Digest:
    with Store("sqlite://") as memory:
        save(memory, run)
        return memory.digest(run.id)


def _assert_equal(left: Digest, right: Digest) -> None:
    assert left.run == right.run
    pd.testing.assert_frame_equal(left.cases, right.cases, check_exact=True)
    pd.testing.assert_frame_equal(left.rounds, right.rounds, check_exact=True)


def _rows(frame: pd.DataFrame) -> list[tuple[object, ...]]:
    return list(frame.itertuples(index=False, name=None))


@settings(max_examples=40)
@given(run=runs())
def test_the_store_and_the_loaded_run_give_the_same_digest(run: Run) -> None:
    _assert_equal(_stored(run), digest_of(run))


@settings(max_examples=40)
@given(run=runs())
def test_a_digest_holds_every_case_and_the_quantiles_of_every_visit_with_samples(run: Run) -> None:
    found = digest_of(run)
    assert _rows(found.cases) == [(*astuple(m.case), m.verdict, m.reason) for m in run.measurements]
    assert _rows(found.rounds) == [
        (row, v.round, quantile(v.samples, LOW_QUANTILE), quantile(v.samples, 0.5), len(v.samples))
        for row, m in enumerate(run.measurements)
        for v in m.visits
        if v.samples
    ]


def test_the_columns_and_their_types_are_the_contract() -> None:
    texts = pd.StringDtype("pyarrow")
    for run in (run_of([]), run_of([measured(A, 1e-3)])):
        for found in (digest_of(run), _stored(run)):
            assert list(found.cases) == [*FIELDS, "verdict", "reason"]
            types = found.cases.dtypes.to_dict()
            assert {types.pop(name) for name in ("flops", "traffic")} == {np.dtype(object)}
            assert {types.pop(name) for name in ("count", "parameters", "activations")} == {
                np.dtype(np.int64)
            }
            assert set(types.values()) == {texts}
            assert list(found.rounds) == ROUNDS
            assert list(found.rounds.dtypes) == [np.int64, np.int64, np.float64, np.float64, np.int64]
            assert isinstance(found.cases.index, pd.RangeIndex)
            assert isinstance(found.rounds.index, pd.RangeIndex)


def test_the_turns_of_a_run_that_took_turns_have_their_medians() -> None:
    samples = (1.0, 2.0, 3.0, 5.0, 7.0)
    visits = (
        Visit(1, samples=samples, conditions={"turns": [3, 2]}),
        Visit(2, samples=samples, conditions={"turns": [3, 3]}),  # does not add up: left out
        Visit(3, samples=samples),
    )
    alone = run_of([Measurement(A, visits)])
    session = {"kind": "interleaved", "id": "s"}
    together = replace(alone, environment={**alone.environment, "session": session})
    for found in (digest_of(together), _stored(together)):
        assert _rows(found.turns) == [
            (0, 1, 0, pytest.approx(1.1), 2.0),
            (0, 1, 1, pytest.approx(5.1), 6.0),
        ]
        assert list(found.turns.dtypes) == [np.int64] * 3 + [np.float64] * 2
    for found in (digest_of(alone), _stored(alone)):
        assert _rows(found.turns) == []


def test_the_low_and_the_median_of_a_round_are_interpolated(store: Store) -> None:
    visits = (Visit(1, samples=(4.0, 1.0, 3.0, 2.0)), Visit(2, samples=(5.0,)))
    save(store, run_of([Measurement(A, visits)]))
    assert _rows(store.digest().rounds) == [
        (0, 1, pytest.approx(1.15, rel=1e-15), 2.5, 4),
        (0, 2, 5.0, 5.0, 1),
    ]


def test_a_digest_has_the_runs_header_and_no_measurements(store: Store) -> None:
    run = run_of([measured(A, 1e-3)])
    save(store, run)
    assert store.digest("conv").run == digest_of(run).run == replace(run, measurements=())


def test_flops_beyond_64_bits_stay_exact(store: Store) -> None:
    save(store, run_of([measured(record(flops=10**30, traffic=2**64), 1e-3)]))
    (case,) = store.digest().cases.itertuples()
    assert (case.flops, case.traffic) == (10**30, 2**64)


def test_cases_keep_the_runs_order_whatever_the_order_of_their_visits(store: Store) -> None:
    store.create_run("a-1", "a", {}, {}, "2026")
    store.add_cases("a-1", [B])
    store.add_cases("a-1", [A])
    for number, case in ((2, A), (2, B), (1, B), (1, A)):
        store.add_visit("a-1", case.key, steady(1e-3 if case is A else 2e-3, number), 1.0)
    found = store.digest()
    assert found.cases["backend"].tolist() == ["torch", "numba"]
    assert _rows(found.rounds[["case", "round", "low"]]) == [
        (0, 1, 2e-3),
        (0, 2, 2e-3),
        (1, 1, 1e-3),
        (1, 2, 1e-3),
    ]


def test_another_run_in_the_store_is_left_out(store: Store) -> None:
    save(store, run_of([measured(A, 1e-3)], id="a-1", name="a"))
    save(store, run_of([measured(A, 2e-3), measured(B, 3e-3)], id="b-1", name="b"))
    save(store, run_of([measured(A, 4e-3)], id="c-1", name="c"))
    found = store.digest("b")
    assert found.cases["backend"].tolist() == ["numba", "torch"]
    assert found.rounds.groupby("case")["median"].unique().explode().tolist() == [2e-3, 3e-3]


def test_a_failed_case_has_its_verdict_and_no_round(store: Store) -> None:
    save(store, run_of([failed(A, "crashed", "SIGSEGV"), measured(B, 1e-3, rounds=1)]))
    found = store.digest()
    assert _rows(found.cases[["verdict", "reason"]]) == [("crashed", "SIGSEGV"), ("ok", "")]
    assert _rows(found.rounds) == [(1, 1, 1e-3, 1e-3, 20)]


def test_a_visit_without_samples_is_no_round(store: Store) -> None:
    visits = (steady(1e-3, 1), Visit(2), steady(2e-3, 3))
    save(store, run_of([Measurement(A, visits)]))
    assert store.digest().rounds["round"].tolist() == [1, 3]


def test_cases_of_an_unfinished_run_are_unconverged_or_failed_as_their_last_visit(store: Store) -> None:
    cases = [record(name) for name in ("numba:naive", "torch:library", "torch:native", "numpy:im2col")]
    store.create_run("a-1", "a", {}, {}, "2026")
    store.add_cases("a-1", cases)
    store.add_visit("a-1", cases[0].key, steady(1e-3, 1), 1.0)
    store.add_visit("a-1", cases[0].key, Visit(2), 1.0)
    store.add_visit("a-1", cases[1].key, steady(1e-3, 1), 1.0)
    store.add_visit("a-1", cases[1].key, Visit(2, verdict="timeout", reason="60 s"), 1.0)
    store.add_visit("a-1", cases[2].key, Visit(1, verdict="crashed", reason="SIGSEGV"), 1.0)
    store.add_visit("a-1", cases[2].key, steady(1e-3, 2), 1.0)
    found = store.digest()
    assert _rows(found.cases[["verdict", "reason"]]) == [
        ("unconverged", "the run has not ended, 1 round so far"),
        ("timeout", "60 s"),
        ("unconverged", "the run has not ended, 1 round so far"),
        ("unconverged", "the run has not ended, 0 rounds so far"),
    ]
    _assert_equal(found, digest_of(store.load()))


def test_a_run_larger_than_one_reading_comes_whole(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [record(layer=str(number)) for number in range(7)]
    run = run_of([measured(case, 1e-3 * (row + 1), rounds=3) for row, case in enumerate(cases)])
    save(store, run)
    whole = store.digest()
    monkeypatch.setattr(digest, "AT_ONCE", 3)
    _assert_equal(store.digest(), whole)
    _assert_equal(digest_of(run), whole)
    assert len(whole.rounds) == 21


def test_the_columns_of_two_digests_compare_group_and_merge_as_any_text() -> None:
    first = digest_of(run_of([measured(A, 1e-3), measured(B, 2e-3)])).cases
    second = _stored(run_of([measured(B, 1e-3), failed(record("numpy:im2col"))])).cases
    assert first[first["backend"] == "torch"]["key"].tolist() == [B.key]
    assert first.groupby("op")["count"].sum().to_dict() == {"conv2d": 2}
    merged = first.merge(second, on="key", how="outer", suffixes=("", "_second"), indicator=True)
    assert sorted(merged["_merge"].tolist()) == ["both", "left_only", "right_only"]


class TestMistakes:
    def test_a_reference_is_found_or_refused_as_load_does(self, store: Store) -> None:
        for run_id in ("conv-1", "conv-2"):
            save(store, run_of([], id=run_id))
        for reference in ("conv-", "nonsense", ""):
            with pytest.raises(SelectionError) as loading:
                store.load(reference)
            with pytest.raises(SelectionError) as digesting:
                store.digest(reference)
            assert str(digesting.value) == str(loading.value)

    @pytest.mark.parametrize("cut", ["x'00'", "zeroblob(159)"])
    def test_samples_that_were_cut_off_are_refused(self, store: Store, tmp_path: Path, cut: str) -> None:
        save(store, run_of([measured(A, 1e-3, rounds=8)]))
        connection = sqlite3.connect(tmp_path / "runs.db")
        connection.execute(f"UPDATE dlbench_visits SET samples = {cut}")
        connection.commit()
        connection.close()
        with pytest.raises(StoreError, match=r"^[^\n]*runs\.db: buffer size must be a multiple[^\n]*$"):
            store.digest()

    def test_a_store_that_was_cut_off_is_refused_in_one_line(self, store: Store, tmp_path: Path) -> None:
        save(store, run_of([measured(record(layer=str(number)), 1e-3) for number in range(50)]))
        store.close()
        content = (tmp_path / "runs.db").read_bytes()
        (tmp_path / "runs.db").write_bytes(content[: len(content) // 2])
        with (
            pytest.raises(StoreError, match=r"^[^\n]*runs\.db: the file is damaged \([^\n]*\); [^\n]*$"),
            Store(tmp_path / "runs.db") as cut,
        ):
            cut.digest()
