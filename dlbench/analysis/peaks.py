"""The measured roofs of a machine, and how near a case comes to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dlbench.errors import SelectionError
from dlbench.results.measurement import FAILURES, CaseRecord, Run, Verdict
from dlbench.results.store import Store
from dlbench.statistics import LOW_QUANTILE, estimate

PEAKS_CONFIG = "peaks"
TOLERATED = 1.05
"""A peak is measured too; what exceeds it by less is as fast as the peak."""


@dataclass(frozen=True)
class Peaks:
    """What the machine was measured to do at best.

    `flops` are operations per second by dtype; `bandwidths` bytes per second by working set in bytes, ascending.
    """

    flops: Mapping[str, float]
    bandwidths: tuple[tuple[int, float], ...]

    def bandwidth(self, case: CaseRecord) -> float | None:
        """Return the bandwidth that bounds a case: of memory when cold, of the level that its data fits when hot."""
        if not self.bandwidths:
            return None
        largest = self.bandwidths[-1][1]
        if case.cache == "cold":
            return largest
        return max((rate for size, rate in self.bandwidths if size >= case.traffic), default=largest)

    def roof(self, case: CaseRecord) -> tuple[float, str] | None:
        """Return the shortest possible time of a call in seconds, and whether compute or memory sets it."""
        bandwidth = self.bandwidth(case)
        if bandwidth is None:
            return None
        memory = case.traffic / bandwidth
        if case.flops == 0 or case.dtype not in self.flops:
            return (memory, "memory") if case.flops == 0 else None
        compute = case.flops / self.flops[case.dtype]
        return (compute, "compute") if compute >= memory else (memory, "memory")

    def suspicion(self, case: CaseRecord, seconds: float) -> tuple[Verdict, str] | None:
        """Return why a time is too good to be true, or None."""
        peak = self.flops.get(case.dtype)
        rate = case.flops / seconds
        if peak is not None and rate > TOLERATED * peak and case.op != "conv2d":
            return "suspect", f"{rate / 1e9:.4g} GFLOP/s is above the measured peak of {peak / 1e9:.4g}"
        moved = case.traffic / seconds
        if case.cache == "cold" and self.bandwidths and moved > TOLERATED * self.bandwidths[-1][1]:
            measured = self.bandwidths[-1][1]
            return "suspect", f"{moved / 1e9:.4g} GB/s with a cold cache is above the measured {measured / 1e9:.4g}"
        return None


def effective(peaks: Peaks, case: CaseRecord, seconds: float) -> str:
    """Return the note for a convolution above the peak: Winograd or FFT does fewer operations than are counted."""
    peak = peaks.flops.get(case.dtype)
    if case.op != "conv2d" or peak is None or case.flops / seconds <= TOLERATED * peak:
        return ""
    return "effective rate: above the peak by doing fewer operations than counted (Winograd or FFT)"


def peaks_from(run: Run) -> Peaks:
    """Return the best product per dtype and the triad bandwidths by working set, over all variants."""
    flops: dict[str, float] = {}
    bandwidths: dict[int, float] = {}
    for measurement in run.measurements:
        if not measurement.rounds or measurement.verdict in FAILURES:
            continue
        case, seconds = measurement.case, estimate(measurement.rounds, LOW_QUANTILE).value
        if case.op == "matmul":
            flops[case.dtype] = max(flops.get(case.dtype, 0.0), case.flops / seconds)
        elif case.op == "triad":
            bandwidths[case.traffic] = max(bandwidths.get(case.traffic, 0.0), case.traffic / seconds)
    return Peaks(flops, tuple(sorted(bandwidths.items())))


def find_peaks(store: Store, environment: Mapping[str, Any]) -> Peaks | None:
    """Return the newest finished peaks measured on the same machine with the same libraries, None where there are none."""
    wanted = fingerprint(environment)
    for summary in sorted(store.runs(), key=lambda run: run.started, reverse=True):
        if summary.name != PEAKS_CONFIG or not summary.finished:
            continue
        try:
            run = store.load(summary.id)
        except SelectionError:  # deleted meanwhile by another dlbench
            continue
        if fingerprint(run.environment) == wanted:
            return peaks_from(run)
    return None


def fingerprint(environment: Mapping[str, Any]) -> str:
    """Return what identifies machine, libraries and threads, empty where it was not recorded."""
    return str(environment.get("machine", {}).get("fingerprint", ""))
