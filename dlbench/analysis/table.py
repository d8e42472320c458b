"""The table: one row a case, the columns of the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from dlbench.analysis.headline import headline
from dlbench.analysis.peaks import IMPOSSIBLE, Peaks, Roof
from dlbench.analysis.speedup import speedups
from dlbench.results.measurement import COLUMNS, CaseRecord, Kind, Measurement, Run
from dlbench.statistics import Interval, median_of_medians

DTYPES: Mapping[Kind, str] = {"text": "string", "json": "string", "integer": "Int64", "number": "float64"}
"""pandas' type for each kind of column; text that does not apply is empty, what is unknown is missing."""
_MICRO = 1e6
_GIGA = 1e9
_MIB = 2**20

Cells = dict[str, Any]


def frame(run: Run, peaks: Peaks | None = None) -> pd.DataFrame:
    """Return the run's table: a row for every measurement, in their order, with the contract's columns.

    With the machine's peaks, `peak_pct` and `bound` are filled and a rate that cannot be is `suspect`.
    """
    over_baseline = speedups(run)
    rows = [
        _row(run.id, measurement, over_baseline.get(measurement.case.key), peaks or Peaks({}))
        for measurement in run.measurements
    ]
    return pd.DataFrame(
        {
            column.name: pd.Series([row.get(column.name) for row in rows], dtype=DTYPES[column.kind])
            for column in COLUMNS
        }
    )


def _row(run_id: str, measurement: Measurement, speedup: Interval | None, peaks: Peaks) -> Cells:
    case, time = measurement.case, headline(measurement)
    cells = {"run": run_id} | {name: getattr(case, name) for name in _COPIED} | _observed(measurement)
    if case.traffic:
        cells["intensity"] = case.flops / case.traffic
    if speedup is not None:
        cells |= {"speedup": speedup.value, "speedup_low": speedup.low, "speedup_high": speedup.high}
    if time is None:
        return cells
    roof = peaks.roof(case.device)
    return cells | _times(measurement, time) | _rates(case, time, roof) | _judged(measurement, time, roof)


_COPIED = tuple(column.name for column in COLUMNS if column.name in CaseRecord.__dataclass_fields__)


def _observed(measurement: Measurement) -> Cells:
    """Return what the visits saw beside the time."""
    errors = [visit.max_rel_error for visit in measurement.visits if visit.max_rel_error is not None]
    memory = [visit.peak_memory for visit in measurement.visits if visit.peak_memory is not None]
    return {
        "max_rel_error": max(errors, default=None),
        "peak_memory_mib": max(memory) / _MIB if memory else None,
        "samples": sum(map(len, measurement.rounds)),
        "rounds": len(measurement.rounds),
        "verdict": measurement.verdict,
        "reason": measurement.reason,
    }


def _times(measurement: Measurement, time: Interval) -> Cells:
    return {
        "time_us": time.value * _MICRO,
        "time_low_us": time.low * _MICRO,
        "time_high_us": time.high * _MICRO,
        "median_us": median_of_medians(measurement.rounds) * _MICRO,
    }


def _rates(case: CaseRecord, time: Interval, roof: Roof) -> Cells:
    """Return the rates of one call; an op without operations has no FLOP/s."""
    cells: Cells = {"gbps": case.traffic / time.value / _GIGA}
    if case.flops:
        cells["gflops"] = case.flops / time.value / _GIGA
    ceiling = roof.over(case)
    if ceiling is not None:
        rate = (case.flops or case.traffic) / time.value
        cells |= {"peak_pct": 100 * rate / ceiling.rate, "bound": ceiling.bound}
    return cells


def _judged(measurement: Measurement, time: Interval, roof: Roof) -> Cells:
    """Return another verdict and reason where the rate is above what the device was measured to do.

    A convolution may do fewer operations than are counted (Winograd, FFT), so its rate is `effective`, not
    suspect.
    """
    case, reason = measurement.case, measurement.reason
    gflops, peak = case.flops / time.value / _GIGA, roof.flops.get(case.dtype, float("inf")) / _GIGA
    if gflops > IMPOSSIBLE * peak:
        above = f"{gflops:.4g} GFLOP/s is above the measured {case.dtype} peak of {peak:.4g} GFLOP/s"
        if case.op.startswith("conv"):
            effective = f"effective: {above}; Winograd or FFT does fewer operations than are counted"
            return {"reason": _joined(effective, reason)}
        return {"verdict": "suspect", "reason": _joined(f"{above}; measure the peaks anew", reason)}
    bandwidth, gbps = roof.bandwidth(case.traffic, case.cache), case.traffic / time.value / _GIGA
    if case.cache == "cold" and bandwidth is not None and gbps > IMPOSSIBLE * bandwidth / _GIGA:
        above = f"{gbps:.4g} GB/s cold is above the measured {bandwidth / _GIGA:.4g} GB/s of memory"
        return {
            "verdict": "suspect",
            "reason": _joined(f"{above}; the cache may not have been cold, or the peaks are old", reason),
        }
    return {}


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)
