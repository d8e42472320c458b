"""The table: one row a case, the columns of the contract."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from dlbench.analysis.headline import headline
from dlbench.analysis.peaks import IMPOSSIBLE, Peaks, Roof, clock_of
from dlbench.analysis.speedup import speedups
from dlbench.results.measurement import COLUMNS, COUNTERS, ITEMS, CaseRecord, Kind, Measurement, Run
from dlbench.statistics import Interval, median_of_medians

DTYPES: Mapping[Kind, str] = {"text": "string", "json": "string", "integer": "Int64", "number": "float64"}
"""pandas' type for each kind of column; text that does not apply is empty, what is unknown is missing."""
_MICRO = 1e6
_GIGA = 1e9
_MIB = 2**20

Cells = dict[str, Any]


def frame(run: Run, peaks: Peaks | None = None) -> pd.DataFrame:
    """Return the run's table: a row for every measurement, in their order, with the contract's columns.

    With the machine's peaks, `peak_pct` and `bound` are filled and a rate that cannot be is `suspect`; what a datasheet
    says comes with the run.
    """
    over_baseline = speedups(run)
    known = (peaks or Peaks({})).beside(run.environment)
    rows = [
        _row(run.id, measurement, over_baseline.get(measurement.case.key), known)
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
    cells |= {name: None for name in _SIZES if not cells[name]}
    if case.traffic:
        cells["intensity"] = case.flops / case.traffic
    if speedup is not None:
        cells |= {"speedup": speedup.value, "speedup_low": speedup.low, "speedup_high": speedup.high}
    if time is None:
        return cells
    roof = peaks.roof(case.device)
    seen = (
        _times(measurement, time)
        | _energy(measurement)
        | _items(measurement, time)
        | _rates(case, time, roof)
    )
    return cells | seen | _judged(measurement, time, roof)


_SIZES = ("parameters", "activations")
"""What only a network has."""
_COPIED = tuple(column.name for column in COLUMNS if column.name in CaseRecord.__dataclass_fields__)


def _observed(measurement: Measurement) -> Cells:
    """Return what the visits saw beside the time."""
    errors = [visit.max_rel_error for visit in measurement.visits if visit.max_rel_error is not None]
    memory = [visit.peak_memory for visit in measurement.visits if visit.peak_memory is not None]
    counters = [visit.conditions[COUNTERS] for visit in measurement.visits if COUNTERS in visit.conditions]
    return {
        "counters": json.dumps(counters[-1], sort_keys=True) if counters else None,
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
        "host_us": _read(measurement, "host_us"),
    }


def _energy(measurement: Measurement) -> Cells:
    """Return the joules of one call and the operations per joule; an op without operations has none."""
    joules, flops = _read(measurement, "energy_j"), measurement.case.flops
    return {"energy_j": joules, "gflop_per_j": flops / joules / _GIGA if joules and flops else None}


def _items(measurement: Measurement, time: Interval) -> Cells:
    """Return the items per second, where a benchmark of the user's own says how many an iteration works through."""
    items = _read(measurement, ITEMS)
    return {} if items is None else {"items_per_s": items / time.value}


def _read(measurement: Measurement, condition: str) -> float | None:
    """Return the median over the visits of what was read beside their samples, None where it never was."""
    found = [visit.conditions[condition] for visit in measurement.visits if condition in visit.conditions]
    return statistics.median(found) if found else None


def _rates(case: CaseRecord, time: Interval, roof: Roof) -> Cells:
    """Return the rates of one call, and their shares of both roofs; an op without operations has no FLOP/s.

    A function of the user's own may tell neither operations nor bytes. Where nothing was measured the datasheet says which
    roof is the lower.
    """
    cells: Cells = {}
    if case.traffic:
        cells["gbps"] = case.traffic / time.value / _GIGA
    if case.flops:
        cells["gflops"] = case.flops / time.value / _GIGA
    rate = (case.flops or case.traffic) / time.value
    stated = None if roof.sheet is None else roof.sheet.over(case)
    if stated is not None:
        cells |= {"datasheet_pct": 100 * rate / stated.rate, "bound": stated.bound}
    measured = roof.over(case)
    if measured is not None:
        cells |= {"peak_pct": 100 * rate / measured.rate, "bound": measured.bound}
    return cells


class _Excess(NamedTuple):
    """A rate that cannot be: over which peak, and what that tells."""

    above: str
    advice: str


def _judged(measurement: Measurement, time: Interval, roof: Roof) -> Cells:
    """Return another verdict and reason where the rate is above what the device can do.

    A convolution may do fewer operations than are counted (Winograd, FFT), so its rate is `effective`, not
    suspect. Hot data may be in any cache, so only cold ones are held against the memory's bandwidth.
    """
    case, reason = measurement.case, measurement.reason
    excess = _over_sheet(measurement, time, roof) or _over_peak(case, time, roof)
    if excess is not None and (how := _does_less(case)):
        effective = f"effective: {excess.above}; {how} does fewer operations than are counted"
        return {"reason": _joined(effective, reason)}
    excess = excess or _over_memory(case, time, roof)
    if excess is None:
        return {}
    return {"verdict": "suspect", "reason": _joined(excess.above, excess.advice, reason)}


MADE_OF_CONVOLUTIONS = ("network", "residual_bottleneck", "inception_block")
"""Ops whose operations are mostly those of convolutions."""


def _does_less(case: CaseRecord) -> str:
    """Return what may do fewer operations than are counted, the empty string where nothing can."""
    if case.op.startswith("conv") or case.op in MADE_OF_CONVOLUTIONS:
        return "Winograd or FFT"
    masked = case.op == "llama_block" or json.loads(case.params).get("causal")
    if case.op in ("attention", "llama_block") and masked:
        return "a kernel that leaves out what is masked"
    if case.op == "sparse24":
        return "a kernel that leaves out the zeros"
    return ""


def _over_sheet(measurement: Measurement, time: Interval, roof: Roof) -> _Excess | None:
    """Return by how much the rate is above the datasheet's dense peak, at the clock that was read if that is higher."""
    case, clock = measurement.case, clock_of(measurement)
    rate = case.flops / time.value
    peak = None if roof.sheet is None else roof.sheet.exceeded(rate, case.dtype, clock)
    if peak is None or roof.sheet is None:
        return None
    raised = f" at {clock:.0f} MHz" if peak > roof.sheet.flops[case.dtype] else ""
    above = f"{rate / _GIGA:.4g} GFLOP/s is above the datasheet's dense {case.dtype} peak of {peak / _GIGA:.4g} GFLOP/s"
    return _Excess(above + raised, "part of the work was left out, or not timed")


def _over_peak(case: CaseRecord, time: Interval, roof: Roof) -> _Excess | None:
    """Return by how much the rate is above the best product that was measured, of normal data.

    An accelerator at its power limit clocks higher on data that flip fewer bits, so there only normal data are compared.
    Where a datasheet states the peak it decides: a brief search may have missed the best product.
    """
    if case.data != "normal" and not case.device.startswith("cpu"):
        return None
    if roof.sheet is not None and case.dtype in roof.sheet.flops:
        return None
    gflops, peak = case.flops / time.value / _GIGA, roof.flops.get(case.dtype, float("inf")) / _GIGA
    if gflops <= IMPOSSIBLE * peak:
        return None
    above = f"{gflops:.4g} GFLOP/s is above the measured {case.dtype} peak of {peak:.4g} GFLOP/s"
    return _Excess(above, "measure the peaks anew")


def _over_memory(case: CaseRecord, time: Interval, roof: Roof) -> _Excess | None:
    """Return by how much a cold call is above the bandwidth that was measured of the device's memory."""
    bandwidth, gbps = roof.bandwidth(case.traffic, case.cache), case.traffic / time.value / _GIGA
    if case.cache != "cold" or bandwidth is None or gbps <= IMPOSSIBLE * bandwidth / _GIGA:
        return None
    above = f"{gbps:.4g} GB/s cold is above the measured {bandwidth / _GIGA:.4g} GB/s of memory"
    return _Excess(above, "the cache may not have been cold, or the peaks are old")


def _joined(*reasons: str) -> str:
    return "; ".join(reason for reason in reasons if reason)
