"""How much faster a case is than its baseline, from paired rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dlbench.results.measurement import FAILURES, Measurement
from dlbench.statistics import Interval, ratio


def baselines(measurements: Sequence[Measurement]) -> Mapping[str, Measurement]:
    """Return each case's baseline by the case's key: on the same device, else on the only device that has it."""
    groups: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        groups.setdefault(measurement.case.group, []).append(measurement)
    found = {}
    for group in groups.values():
        for measurement in group:
            candidates = [m for m in group if m.case.implementation == measurement.case.baseline]
            here = [m for m in candidates if m.case.device == measurement.case.device] or candidates
            if len(here) == 1:
                found[measurement.case.key] = here[0]
    return found


def speedup(measurement: Measurement, baseline: Measurement | None, q: float) -> Interval | None:
    """Return the baseline's time over the case's, or None when either has none or they share no round."""
    if baseline is None or baseline.verdict in FAILURES or measurement.verdict in FAILURES:
        return None
    if measurement.case.key == baseline.case.key:
        return Interval(1.0, 1.0, 1.0) if measurement.rounds else None
    theirs = {visit.round: visit.samples for visit in baseline.visits if visit.samples}
    pairs = [(theirs[v.round], v.samples) for v in measurement.visits if v.samples and v.round in theirs]
    if not pairs:
        return None
    return ratio([slow for slow, _ in pairs], [fast for _, fast in pairs], q)
