from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from run_strategies import runs
from runs import ENVIRONMENT, failed, measured, record, run_of, steady

from dlbench.analysis.peaks import Peaks, Roof
from dlbench.analysis.table import frame
from dlbench.results.measurement import COLUMNS, FAILURES, Measurement, Run, Visit

ROOF = Roof({"float32": 4e9}, ((2**16, 8e9), (2**20, 4e9), (2**28, 1e9)))
PEAKS = Peaks({"cpu": ROOF})
SHEET = {"flops": {"float32": 8e9}, "bandwidth": 2e9, "boost_mhz": 1000.0, "source": "its sheet"}
ON_BOTH = {**ENVIRONMENT, "datasheets": {"cpu": SHEET, "cuda:0": SHEET}}


def _row(
    measurement: Measurement, peaks: Peaks | None = None, environment: Mapping[str, Any] = ENVIRONMENT
) -> dict[str, object]:
    table = frame(run_of([measurement], environment=environment), peaks)
    return {str(name): None if pd.isna(value) else value for name, value in table.iloc[0].items()}


def test_the_columns_are_the_contract_in_its_order_with_a_type_for_each_kind() -> None:
    types = {"text": "string", "json": "string", "integer": "Int64", "number": "float64"}
    for measurements in ([], [measured(record(), 1e-3)], [failed(record())]):
        table = frame(run_of(measurements))
        assert list(table.columns) == [column.name for column in COLUMNS]
        assert [str(kind) for kind in table.dtypes] == [types[column.kind] for column in COLUMNS]


@settings(max_examples=40, deadline=None)
@given(run=runs())
def test_every_measurement_has_its_row_whatever_became_of_it(run: Run) -> None:
    table = frame(run)
    assert table["verdict"].tolist() == [measurement.verdict for measurement in run.measurements]
    assert table["params"].tolist() == [measurement.case.params for measurement in run.measurements]
    failures = table[table["verdict"].isin(FAILURES)]
    assert failures[["time_us", "median_us", "gflops", "gbps", "speedup"]].isna().all(axis=None)


def test_a_row_holds_the_times_in_microseconds_and_the_rates_that_follow() -> None:
    row = _row(measured(record(flops=2_000_000, traffic=500_000), 1e-3))
    expected = {
        "run": "conv-1", "op": "conv2d", "backend": "numba", "variant": "naive", "device": "cpu",
        "count": 1, "samples": 60, "rounds": 3, "verdict": "ok", "reason": "", "peak_memory_mib": 1.0,
        "max_rel_error": 1e-7, "intensity": 4.0, "host_us": None, "energy_j": None, "peak_pct": None, "bound": None,
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected
    assert row["time_us"] == pytest.approx(1000.0)
    assert row["median_us"] == pytest.approx(1000.0)
    assert row["gflops"] == pytest.approx(2.0)
    assert row["gbps"] == pytest.approx(0.5)


def test_the_headline_is_the_low_quantile_on_a_cpu_and_the_median_elsewhere() -> None:
    samples = tuple(1e-6 * (100 + number) for number in range(101))
    for device, headline in (("cpu", 105.0), ("cuda:0", 150.0)):
        case = record(device=device)
        row = _row(Measurement(case, (Visit(1, samples=samples),)))
        assert row["time_us"] == pytest.approx(headline)
        assert row["median_us"] == pytest.approx(150.0)


def test_the_interval_encloses_the_headline() -> None:
    visits = tuple(steady(1e-3 * (1 + number / 100), number) for number in (1, 2, 3))
    row = _row(Measurement(record(), visits))
    assert float(str(row["time_low_us"])) < float(str(row["time_us"])) < float(str(row["time_high_us"]))


def test_a_case_that_failed_after_good_rounds_has_no_time_but_says_what_was_sampled() -> None:
    crashed = Visit(2, verdict="crashed", reason="SIGSEGV")
    row = _row(Measurement(record(), (steady(1e-3), crashed), "crashed", "SIGSEGV"))
    assert (row["time_us"], row["gflops"], row["speedup"]) == (None, None, None)
    assert (row["samples"], row["rounds"], row["verdict"], row["reason"]) == (20, 1, "crashed", "SIGSEGV")


def test_a_case_that_was_not_measured_has_a_row_without_a_time() -> None:
    row = _row(Measurement(record(), (), "unconverged", "not measured: the budget of 15 s ran out first"))
    assert (row["time_us"], row["samples"], row["rounds"]) == (None, 0, 0)


def test_the_largest_error_and_the_most_memory_of_all_visits_count() -> None:
    visits = (
        steady(1e-3, 1, max_rel_error=1e-7, peak_memory=3 * 2**20),
        steady(1e-3, 2, max_rel_error=3e-7, peak_memory=None),
    )
    row = _row(Measurement(record(), visits))
    assert (row["max_rel_error"], row["peak_memory_mib"]) == (3e-7, 3.0)


def test_an_op_without_operations_has_bandwidth_but_no_flops() -> None:
    row = _row(measured(record(op="copy", flops=0, traffic=2**20), 2**20 / 2e9), PEAKS)
    assert row["gflops"] is None
    assert row["intensity"] == 0.0
    assert row["gbps"] == pytest.approx(2.0)
    assert (row["bound"], row["peak_pct"]) == ("memory", pytest.approx(50.0))


def test_the_share_of_peak_is_of_the_lower_roof() -> None:
    compute = _row(measured(record(flops=2_000_000, traffic=2**19), 1e-3), PEAKS)
    memory = _row(measured(record(flops=2**18, traffic=2**20), 2**18 / 5e8), PEAKS)
    assert (compute["bound"], compute["peak_pct"]) == ("compute", pytest.approx(50.0))
    assert (memory["bound"], memory["peak_pct"]) == ("memory", pytest.approx(50.0))


def test_a_dtype_or_a_device_without_a_measured_peak_has_no_share() -> None:
    for case in (record(dtype="float16"), record(device="cuda:0")):
        row = _row(measured(case, 1e-3), PEAKS)
        assert (row["bound"], row["peak_pct"]) == (None, None)


def test_the_share_of_the_datasheet_stands_beside_that_of_the_measured_roof() -> None:
    row = _row(measured(record(flops=2_000_000, traffic=2**19), 1e-3), PEAKS, ON_BOTH)
    assert row["peak_pct"] == pytest.approx(50.0)
    assert row["datasheet_pct"] == pytest.approx(100 * 2e9 / (2e9 * 2_000_000 / 2**19))
    assert row["bound"] == "compute"


def test_without_a_measured_roof_the_datasheet_alone_says_what_bounds() -> None:
    row = _row(measured(record(device="cuda:0", flops=2**18, traffic=2**20), 2**18 / 2.5e8), PEAKS, ON_BOTH)
    assert (row["peak_pct"], row["datasheet_pct"], row["bound"]) == (None, pytest.approx(50.0), "memory")


def test_an_op_without_operations_has_a_share_of_the_stated_bandwidth() -> None:
    row = _row(measured(record(op="copy", flops=0, traffic=2**20), 2**20 / 5e8), None, ON_BOTH)
    assert (row["datasheet_pct"], row["bound"]) == (pytest.approx(25.0), "memory")


def test_without_a_datasheet_there_is_no_share_of_it() -> None:
    for case in (record(dtype="float16"), record(device="cuda:1")):
        assert _row(measured(case, 1e-3), PEAKS, ON_BOTH)["datasheet_pct"] is None
    assert _row(measured(record(), 1e-3), PEAKS)["datasheet_pct"] is None


def test_host_time_and_energy_are_the_medians_of_the_visits_that_read_them() -> None:
    readings = ({"host_us": 9.0, "energy_j": 0.002}, {"host_us": 5.0}, {"host_us": 6.0, "energy_j": 0.004})
    visits = tuple(steady(1e-3, number, conditions=read) for number, read in enumerate(readings, 1))
    row = _row(Measurement(record(device="cuda:0", flops=6_000_000), visits))
    assert (row["host_us"], row["energy_j"]) == (6.0, pytest.approx(0.003))
    assert row["gflop_per_j"] == pytest.approx(2.0)


def test_what_was_not_read_is_missing_and_an_op_without_operations_has_none_a_joule() -> None:
    row = _row(measured(record(), 1e-3))
    assert (row["host_us"], row["energy_j"], row["gflop_per_j"]) == (None, None, None)
    copy = record(op="copy", flops=0)
    row = _row(Measurement(copy, (steady(1e-3, conditions={"energy_j": 0.5}),)))
    assert (row["energy_j"], row["gflop_per_j"]) == (0.5, None)


class TestImpossibleRates:
    def test_more_flops_than_the_peak_are_suspect_with_the_numbers(self) -> None:
        row = _row(measured(record(op="matmul"), 2_000_000 / 4.3e9), PEAKS)
        assert row["verdict"] == "suspect"
        assert row["reason"] == (
            "4.3 GFLOP/s is above the measured float32 peak of 4 GFLOP/s; measure the peaks anew"
        )
        assert row["time_us"] is not None

    def test_five_per_cent_above_the_peak_are_within_its_error(self) -> None:
        assert _row(measured(record(op="matmul"), 2_000_000 / 4.19e9), PEAKS)["verdict"] == "ok"

    def test_a_convolution_above_the_peak_is_effective_and_keeps_its_verdict(self) -> None:
        row = _row(measured(record(), 2_000_000 / 8e9, verdict="noisy", reason="load 3"), PEAKS)
        assert row["verdict"] == "noisy"
        assert row["reason"] == (
            "effective: 8 GFLOP/s is above the measured float32 peak of 4 GFLOP/s; "
            "Winograd or FFT does fewer operations than are counted; load 3"
        )

    @pytest.mark.parametrize(("causal", "verdict"), [("true", "ok"), ("false", "suspect")])
    def test_masked_attention_may_leave_out_what_is_counted(self, causal: str, verdict: str) -> None:
        case = record(op="attention", params=f'{{"causal": {causal}}}')
        row = _row(measured(case, 2_000_000 / 8e9), PEAKS)
        assert row["verdict"] == verdict
        assert ("a kernel that leaves out what is masked" in str(row["reason"])) is (causal == "true")

    @pytest.mark.parametrize(
        ("op", "what"),
        [
            ("network", "Winograd or FFT"),
            ("residual_bottleneck", "Winograd or FFT"),
            ("llama_block", "a kernel that leaves out what is masked"),
            ("sparse24", "a kernel that leaves out the zeros"),
        ],
    )
    def test_ops_that_may_do_less_than_is_counted_are_effective(self, op: str, what: str) -> None:
        row = _row(measured(record(op=op), 2_000_000 / 8e9), PEAKS)
        assert row["verdict"] == "ok"
        assert str(row["reason"]).endswith(f"; {what} does fewer operations than are counted")

    def test_cold_bandwidth_above_that_of_memory_is_suspect(self) -> None:
        row = _row(measured(record(op="copy", flops=0, traffic=2**16, cache="cold"), 2**16 / 2e9), PEAKS)
        assert row["verdict"] == "suspect"
        assert str(row["reason"]).startswith("2 GB/s cold is above the measured 1 GB/s of memory")

    def test_hot_bandwidth_above_that_of_memory_is_the_caches(self) -> None:
        row = _row(measured(record(op="copy", flops=0, traffic=2**16), 2**16 / 2e9), PEAKS)
        assert row["verdict"] == "ok"

    def test_a_failure_is_never_suspect(self) -> None:
        measurement = replace(measured(record(op="matmul"), 1e-9), verdict="incorrect", reason="off by 2")
        assert _row(measurement, PEAKS)["verdict"] == "incorrect"

    def test_without_peaks_nothing_is_suspect(self) -> None:
        assert _row(measured(record(op="matmul"), 1e-12))["verdict"] == "ok"

    def test_zeros_may_run_faster_than_the_normal_data_of_the_peaks_on_an_accelerator(self) -> None:
        for data, device, verdict in (
            ("zeros", "cuda:0", "ok"),
            ("normal", "cuda:0", "suspect"),
            ("zeros", "cpu", "suspect"),
        ):
            case = record(op="matmul", data=data, device=device)
            row = _row(measured(case, 2_000_000 / 4.3e9), Peaks({device: ROOF}))
            assert row["verdict"] == verdict


class TestRatesAboveTheDatasheet:
    def _at(self, gflops: float, *, clock: float | None = None, **changes: Any) -> dict[str, object]:
        case = record(**{"op": "matmul", "device": "cuda:0", **changes})
        conditions = {} if clock is None else {"sm_clock_mhz": clock}
        visits = tuple(steady(2e-3 / gflops, number, conditions=conditions) for number in (1, 2, 3))
        return _row(Measurement(case, visits), None, ON_BOTH)

    def test_they_are_suspect_with_the_numbers(self) -> None:
        row = self._at(8.2)
        assert row["verdict"] == "suspect"
        assert row["reason"] == (
            "8.2 GFLOP/s is above the datasheet's dense float32 peak of 8 GFLOP/s; "
            "part of the work was left out, or not timed"
        )

    @pytest.mark.parametrize("direction", ["forward", "backward", "backward_data"])
    def test_in_every_direction_and_either_cache_state(self, direction: str) -> None:
        for cache in ("hot", "cold"):
            assert self._at(8.2, direction=direction, cache=cache)["verdict"] == "suspect"

    def test_a_figure_of_three_digits_may_be_rounded(self) -> None:
        assert self._at(8.07)["verdict"] == "ok"

    def test_a_board_that_clocks_higher_than_its_sheet_may_be_faster(self) -> None:
        assert self._at(8.7, clock=1100.0)["verdict"] == "ok"
        row = self._at(9.0, clock=1100.0)
        assert row["verdict"] == "suspect"
        assert str(row["reason"]).startswith(
            "9 GFLOP/s is above the datasheet's dense float32 peak of 8.8 GFLOP/s at 1100 MHz; "
        )

    def test_a_convolution_is_effective_and_keeps_its_verdict(self) -> None:
        row = self._at(16.0, op="conv2d")
        assert row["verdict"] == "ok"
        assert row["reason"] == (
            "effective: 16 GFLOP/s is above the datasheet's dense float32 peak of 8 GFLOP/s; "
            "Winograd or FFT does fewer operations than are counted"
        )

    def test_hot_bandwidth_above_that_of_memory_is_the_caches(self) -> None:
        row = self._at(4.0, flops=2_000_000, traffic=2_000_000)
        assert row["verdict"] == "ok"
        assert row["datasheet_pct"] == pytest.approx(200.0)

    def test_a_dtype_that_the_sheet_does_not_state_is_not_judged(self) -> None:
        assert self._at(1e6, dtype="float16")["verdict"] == "ok"

    def test_the_datasheet_is_asked_before_the_measured_peak(self) -> None:
        case = record(op="matmul")
        row = _row(measured(case, 2_000_000 / 9e9), PEAKS, ON_BOTH)
        assert str(row["reason"]).startswith("9 GFLOP/s is above the datasheet's")


def test_only_a_network_has_a_size() -> None:
    network = replace(record(), parameters=61_100_840, activations=650_000)
    row = _row(measured(network, 1e-3))
    assert (row["parameters"], row["activations"]) == (61_100_840, 650_000)
    row = _row(measured(record(), 1e-3))
    assert (row["parameters"], row["activations"]) == (None, None)
