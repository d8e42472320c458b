"""The table: one row a case, never dropped, the columns of the contract."""

from __future__ import annotations

import pandas as pd

from dlbench.analysis.peaks import Peaks, effective
from dlbench.analysis.speedup import baselines, speedup
from dlbench.results.measurement import COLUMNS, FAILURES, Measurement, Run
from dlbench.statistics import LOW_QUANTILE, estimate, median_of_medians

MEDIAN = 0.5
DTYPES = {"text": "string", "json": "string", "integer": "Int64", "number": "float64"}
MICRO = 1e6

Row = dict[str, object]


def frame(run: Run, peaks: Peaks | None) -> pd.DataFrame:
    """Return a run's table; what is unknown is missing, never 0."""
    over = baselines(run.measurements)
    rows = [_row(run.id, m, over.get(m.case.key), peaks) for m in run.measurements]
    table = pd.DataFrame(rows, columns=[column.name for column in COLUMNS])
    return table.astype({column.name: DTYPES[column.kind] for column in COLUMNS})


def _row(run_id: str, measurement: Measurement, baseline: Measurement | None, peaks: Peaks | None) -> Row:
    case = measurement.case
    row: Row = {column.name: getattr(case, column.name, None) for column in COLUMNS}
    row |= {"run": run_id, "verdict": measurement.verdict, "reason": measurement.reason}
    row["intensity"] = case.flops / case.traffic if case.traffic else None
    row |= _checked(measurement)
    if not measurement.rounds or measurement.verdict in FAILURES:
        return row | {"samples": 0, "rounds": 0}
    return row | _timed(measurement, baseline) | _held_against(measurement, peaks)


def headline_quantile(device: str) -> float:
    """Return the headline's quantile: low on a processor, the median on an accelerator."""
    return LOW_QUANTILE if device == "cpu" else MEDIAN


def _checked(measurement: Measurement) -> Row:
    errors = [v.max_rel_error for v in measurement.visits if v.max_rel_error is not None]
    held = [v.peak_memory for v in measurement.visits if v.peak_memory is not None]
    return {
        "max_rel_error": max(errors, default=None),
        "peak_memory_mib": max(held) / 2**20 if held else None,
    }


def _timed(measurement: Measurement, baseline: Measurement | None) -> Row:
    case, rounds, q = measurement.case, measurement.rounds, headline_quantile(measurement.case.device)
    time = estimate(rounds, q)
    faster = speedup(measurement, baseline, q)
    return {
        "time_us": time.value * MICRO,
        "time_low_us": time.low * MICRO,
        "time_high_us": time.high * MICRO,
        "median_us": median_of_medians(rounds) * MICRO,
        "gflops": case.flops / time.value / 1e9,
        "gbps": case.traffic / time.value / 1e9,
        "speedup": faster and faster.value,
        "speedup_low": faster and faster.low,
        "speedup_high": faster and faster.high,
        "samples": sum(map(len, rounds)),
        "rounds": len(rounds),
    }


def _held_against(measurement: Measurement, peaks: Peaks | None) -> Row:
    if peaks is None or measurement.case.device != "cpu":
        return {}
    case = measurement.case
    seconds = estimate(measurement.rounds, headline_quantile(case.device)).value
    found: Row = {}
    if (roof := peaks.roof(case)) is not None:
        found = {"peak_pct": 100 * roof[0] / seconds, "bound": roof[1]}
    if (suspicion := peaks.suspicion(case, seconds)) is not None:
        found |= {"verdict": suspicion[0], "reason": suspicion[1]}
    elif note := effective(peaks, case, seconds):
        found["reason"] = "; ".join(part for part in (measurement.reason, note) if part)
    return found
