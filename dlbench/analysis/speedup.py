"""Speed-ups over the baseline, from paired rounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from dlbench.results.measurement import FAILURES, Measurement, Run
from dlbench.statistics import Interval, headline_quantile, ratio

ITSELF = Interval(1.0, 1.0, 1.0)
"""The baseline over itself: the one speed-up whose interval has no width."""


def speedups(run: Run) -> Mapping[str, Interval]:
    """Return the baseline's time over each case's time, by the case's key; a case without one is left out.

    Only rounds that sampled both count: in one round both were sampled in turn, so what disturbed one
    disturbed the other.
    """
    groups: defaultdict[str, list[Measurement]] = defaultdict(list)
    for measurement in run.measurements:
        groups[measurement.case.group].append(measurement)
    found = {}
    for members in groups.values():
        for measurement in members:
            speedup = _speedup(measurement, members)
            if speedup is not None:
                found[measurement.case.key] = speedup
    return found


def _speedup(measurement: Measurement, group: Sequence[Measurement]) -> Interval | None:
    baseline = _baseline(measurement, group)
    if baseline is None or not (_has_time(baseline) and _has_time(measurement)):
        return None
    if baseline is measurement:
        return ITSELF
    theirs = {visit.round: visit.samples for visit in baseline.visits if visit.samples}
    ours = {visit.round: visit.samples for visit in measurement.visits if visit.samples}
    shared = sorted(theirs.keys() & ours.keys())
    if not shared:
        return None
    quantile = headline_quantile(measurement.case.device)
    return ratio([theirs[number] for number in shared], [ours[number] for number in shared], quantile)


def _baseline(measurement: Measurement, group: Sequence[Measurement]) -> Measurement | None:
    """Return the group's baseline: on the same device, or on the only one that has it."""
    case = measurement.case
    candidates = [other for other in group if other.case.implementation == case.baseline]
    candidates.sort(
        key=lambda other: len(other.case.flags)
    )  # the ordinary way of calling it, where there are several
    same_device = [other for other in candidates if other.case.device == case.device]
    if same_device:
        return same_device[0]
    return candidates[0] if len({other.case.device for other in candidates}) == 1 else None


def _has_time(measurement: Measurement) -> bool:
    return measurement.verdict not in FAILURES and bool(measurement.rounds)
