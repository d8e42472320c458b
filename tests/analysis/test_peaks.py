from __future__ import annotations

from pathlib import Path

import pytest
from runs import ENVIRONMENT, failed, measured, record, run_of, save

from dlbench.analysis.peaks import Ceiling, Peaks, Roof, find_peaks, peaks_from
from dlbench.results.measurement import Measurement, Run
from dlbench.results.store import Store

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

    def test_without_one_there_are_no_peaks(self, tmp_path: Path) -> None:
        assert self._found(tmp_path, self._peaks("p", 1, environment={})) is None

    def test_an_environment_that_names_no_machine_has_no_peaks(self, tmp_path: Path) -> None:
        with Store(tmp_path / "runs.db") as store:
            save(store, self._peaks("p", 1, environment={}))
            assert find_peaks(store, {}) is None
