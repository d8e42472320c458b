from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import ENVIRONMENT, failed, measured, record, run_of, save, steady

from dlbench.analysis.peaks import (
    Ceiling,
    Peaks,
    Roof,
    Sheet,
    clock_of,
    find_peaks,
    peaks_from,
    sheets_in,
)
from dlbench.results.measurement import Measurement, Run
from dlbench.results.store import Store

SHEETS = {
    "datasheets": {
        "cuda:0": {"flops": {"float32": 1e12}, "bandwidth": 1e11, "boost_mhz": 1000.0, "source": "its sheet"}
    }
}
SHEET = Sheet({"float32": 1e12}, 1e11, 1000.0, "its sheet")
ROOF = Roof({"float32": 4e9}, ((2**16, 8e9), (2**20, 4e9), (2**24, 5e9), (2**28, 1e9)))


def _matmul(gflops: float, **changes: object) -> Measurement:
    return measured(record("torch:library", op="matmul", flops=10**9, **changes), 1 / gflops)


def _triad(size: int, gbps: float, **changes: object) -> Measurement:
    return measured(
        record("torch:library", op="triad", flops=1, traffic=size, **changes), size / (gbps * 1e9)
    )


@pytest.mark.parametrize(
    ("traffic", "bandwidth"),
    [(1, 8e9), (2**16, 8e9), (2**16 + 1, 5e9), (2**24, 5e9), (2**24 + 1, 1e9), (2**40, 1e9)],
)
def test_hot_data_has_the_best_bandwidth_of_the_working_sets_that_reach_it(
    traffic: int, bandwidth: float
) -> None:
    assert ROOF.bandwidth(traffic, "hot") == bandwidth


@pytest.mark.parametrize("traffic", [1, 2**24, 2**40])
def test_cold_data_comes_from_memory_whatever_its_size(traffic: int) -> None:
    assert ROOF.bandwidth(traffic, "cold") == 1e9


def test_without_a_measured_triad_there_is_no_bandwidth() -> None:
    assert Roof({}, ()).bandwidth(1, "hot") is None


def test_the_ceiling_is_the_lower_of_the_two_roofs() -> None:
    assert ROOF.over(record(flops=2 * 2**28, traffic=2**28)) == Ceiling(2e9, "memory")
    assert ROOF.over(record(flops=8 * 2**28, traffic=2**28)) == Ceiling(4e9, "compute")


def test_an_op_without_operations_is_under_the_bandwidth_alone() -> None:
    assert ROOF.over(record(flops=0, traffic=2**28, dtype="float64")) == Ceiling(1e9, "memory")


def test_a_peak_that_was_not_measured_gives_no_ceiling() -> None:
    assert ROOF.over(record(dtype="float16")) is None
    assert Roof({"float32": 1e9}, ()).over(record()) is None


def test_peaks_are_the_best_of_all_variants_and_shapes_by_device_and_dtype() -> None:
    run = run_of(
        [
            _matmul(50, key="a"),
            _matmul(70, key="b"),
            _matmul(30, dtype="float64"),
            _matmul(900, device="cuda:0"),
            _triad(2**20, 12, key="c"),
            _triad(2**20, 14, key="d", dtype="float64"),
            _triad(2**16, 40),
            measured(record(op="conv2d", flops=10**15), 1e-3),
            failed(record("numba:naive", op="matmul", flops=10**15)),
        ]
    )
    peaks = peaks_from(run)
    assert peaks.roofs.keys() == {"cpu", "cuda:0"}
    assert peaks.roof("cpu").flops == pytest.approx({"float32": 70e9, "float64": 30e9})
    assert dict(peaks.roof("cpu").bandwidths) == pytest.approx({2**16: 40e9, 2**20: 14e9})
    assert peaks.roof("cuda:0").flops == pytest.approx({"float32": 900e9})
    assert peaks.roof("cuda:0").bandwidths == ()


def test_a_device_without_measured_peaks_has_an_empty_roof() -> None:
    assert Peaks({}).roof("cpu") == Roof({}, ())


class TestDatasheets:
    def test_the_environment_tells_them_by_device(self) -> None:
        assert sheets_in(SHEETS) == {"cuda:0": SHEET}
        assert sheets_in({}) == {}

    def test_what_a_sheet_does_not_state_is_unknown(self) -> None:
        assert sheets_in({"datasheets": {"cuda:1": {"flops": {"int8": 2e12}}}}) == {
            "cuda:1": Sheet({"int8": 2e12}, None, None, "")
        }

    def test_they_stand_beside_the_measured_roofs(self) -> None:
        peaks = Peaks({"cpu": ROOF, "cuda:0": ROOF}).beside(SHEETS)
        assert peaks.roof("cpu") == ROOF
        assert peaks.roof("cuda:0") == Roof(ROOF.flops, ROOF.bandwidths, SHEET)
        assert Peaks({}).beside(SHEETS).roof("cuda:0") == Roof({}, (), SHEET)

    def test_a_measured_roof_is_not_moved_by_a_sheet(self) -> None:
        case = record(flops=2 * 2**28, traffic=2**28)
        assert Roof(ROOF.flops, ROOF.bandwidths, SHEET).over(case) == ROOF.over(case)

    def test_its_roof_is_the_lower_of_its_two_peaks_whatever_cache_holds_the_data(self) -> None:
        for cache in ("hot", "cold"):
            assert SHEET.over(record(flops=5000, traffic=1000, cache=cache)) == Ceiling(5e11, "memory")
            assert SHEET.over(record(flops=20000, traffic=1000, cache=cache)) == Ceiling(1e12, "compute")

    def test_a_peak_that_is_not_stated_gives_no_ceiling(self) -> None:
        assert SHEET.over(record(dtype="float16")) is None
        assert Sheet({"float32": 1e12}).over(record()) is None

    def test_a_clock_above_the_stated_one_raises_the_peak_and_one_below_does_not_lower_it(self) -> None:
        assert SHEET.most("float32", 1100.0) == pytest.approx(1.1e12)
        assert SHEET.most("float32", 900.0) == 1e12
        assert SHEET.most("float32", None) == 1e12
        assert SHEET.most("float16", 1100.0) is None
        assert Sheet({"float32": 1e12}).most("float32", 1100.0) == 1e12

    @given(st.floats(1.0, 1e16), st.floats(1.0, 1e4))
    def test_a_rate_within_the_stated_peak_never_exceeds_it(self, rate: float, clock: float) -> None:
        assert (SHEET.exceeded(rate, "float32", clock) is None) >= (rate <= 1.01e12)

    def test_what_is_exceeded_is_the_peak_at_the_clock_that_was_read(self) -> None:
        assert SHEET.exceeded(1.02e12, "float32", None) == 1e12
        assert SHEET.exceeded(1.009e12, "float32", None) is None
        assert SHEET.exceeded(1.2e12, "float32", 1100.0) == pytest.approx(1.1e12)
        assert SHEET.exceeded(1e30, "float16", None) is None

    def test_the_clock_is_the_highest_of_all_visits(self) -> None:
        visits = tuple(
            steady(1e-3, number, conditions={"sm_clock_mhz": clock})
            for number, clock in ((1, 900.0), (2, 950.0))
        )
        assert clock_of(Measurement(record(), visits)) == 950.0
        assert clock_of(measured(record(), 1e-3)) is None

    def test_a_product_that_no_board_can_make_is_no_peak(self) -> None:
        run = run_of([_matmul(1020, device="cuda:0"), _matmul(900, device="cuda:0", key="b")])
        assert peaks_from(run).roof("cuda:0").flops == pytest.approx({"float32": 1020e9})
        told = run_of(run.measurements, environment={**ENVIRONMENT, **SHEETS})
        assert peaks_from(told).roof("cuda:0").flops == pytest.approx({"float32": 900e9})
        assert peaks_from(told).roof("cuda:0").sheet == SHEET

    def test_they_come_from_the_asking_environment_where_the_peaks_run_had_none(self, tmp_path: Path) -> None:
        with Store(tmp_path / "runs.db") as store:
            save(store, run_of([_matmul(900, device="cuda:0")], id="p", name="peaks"))
            peaks = find_peaks(store, {**ENVIRONMENT, **SHEETS})
        assert peaks is not None
        assert peaks.roof("cuda:0").sheet == SHEET
        assert peaks.roof("cuda:0").flops == pytest.approx({"float32": 900e9})


class TestFinding:
    def _peaks(self, run_id: str, gflops: float, **changes: object) -> Run:
        return run_of([_matmul(gflops)], **{"id": run_id, "name": "peaks", **changes})

    def _found(self, tmp_path: Path, *runs: Run) -> float | None:
        with Store(tmp_path / "runs.db") as store:
            for run in runs:
                save(store, run)
            peaks = find_peaks(store, ENVIRONMENT)
            return None if peaks is None else round(peaks.roof("cpu").flops["float32"] / 1e9)

    def test_the_newest_finished_peaks_run_of_the_same_machine_counts(self, tmp_path: Path) -> None:
        assert (
            self._found(
                tmp_path,
                self._peaks("p2", 2, started="2026-02-01"),
                self._peaks("p1", 1, started="2026-01-01"),
                self._peaks("p3", 3, started="2026-03-01", finished=""),
                self._peaks("p4", 4, started="2026-04-01", environment={"machine": {"fingerprint": "other"}}),
                self._peaks("p5", 5, started="2026-05-01", name="conv"),
            )
            == 2
        )

    def test_each_device_has_those_of_the_newest_run_that_tried_it(self, tmp_path: Path) -> None:
        with Store(tmp_path / "runs.db") as store:
            both = [_matmul(1), _matmul(900, device="cuda:0")]
            save(store, run_of(both, id="a", name="peaks", started="2026-01-01"))
            save(store, run_of([_matmul(2)], id="b", name="peaks", started="2026-02-01"))
            peaks = find_peaks(store, ENVIRONMENT)
        assert peaks is not None
        assert peaks.roof("cpu").flops == pytest.approx({"float32": 2e9})
        assert peaks.roof("cpu") != peaks.roof("cuda:0")
        assert peaks.tried == {"cpu"}  # the machine has no other, and older runs are not looked into

    def test_a_device_that_the_newest_run_left_out_has_its_peaks_from_an_older_one(
        self, tmp_path: Path
    ) -> None:
        machine = {"fingerprint": "f00d", "devices": [{"name": "cpu"}, {"name": "cuda:0"}]}
        there = {**ENVIRONMENT, "machine": machine}
        with Store(tmp_path / "runs.db") as store:
            both = [_matmul(1), _matmul(900, device="cuda:0")]
            save(store, run_of(both, id="a", name="peaks", started="2026-01-01", environment=there))
            save(store, run_of([_matmul(2)], id="b", name="peaks", started="2026-02-01", environment=there))
            peaks = find_peaks(store, there)
        assert peaks is not None
        assert peaks.roof("cpu").flops == pytest.approx({"float32": 2e9})
        assert peaks.roof("cuda:0").flops == pytest.approx({"float32": 900e9})
        assert peaks.tried == {"cpu", "cuda:0"}

    def test_without_one_there_are_no_peaks(self, tmp_path: Path) -> None:
        assert self._found(tmp_path, self._peaks("p", 1, environment={})) is None

    def test_an_environment_that_names_no_machine_has_no_peaks(self, tmp_path: Path) -> None:
        with Store(tmp_path / "runs.db") as store:
            save(store, self._peaks("p", 1, environment={}))
            assert find_peaks(store, {}) is None
