"""Runs made up for tests: exact numbers, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dlbench.results.measurement import CaseRecord, Measurement, Run, Verdict, Visit
from dlbench.results.store import Store

ENVIRONMENT = {
    "machine": {"hostname": "bench", "fingerprint": "f00d", "devices": [{"name": "cpu", "model": "A CPU"}]},
    "threads": 2,
}
CASE = CaseRecord(
    key="", group="", op="conv2d", problem="conv2d 1x8x4x4 to 8", params='{"c": 8, "n": 1}',
    suite="", layer="", count=1, dtype="float32", direction="forward", layout="NCHW", cache="hot",
    data="normal", backend="", variant="", device="cpu", baseline="numba:naive", flops=2_000_000,
    traffic=500_000,
)  # fmt: skip
RUN = Run(
    id="conv-1", name="conv", config={"name": "conv"}, environment=ENVIRONMENT,
    started="2026-01-02T03:04:05+00:00", finished="2026-01-02T03:06:05+00:00", elapsed=120.0,
)  # fmt: skip


def record(implementation: str = "numba:naive", **changes: Any) -> CaseRecord:
    """Return a case; the key and the group follow from its fields unless they are given."""
    backend, _, variant = implementation.partition(":")
    case = replace(CASE, backend=backend, variant=variant, **changes)
    parts = (case.op, case.params, case.dtype, case.direction, case.cache, case.suite, case.layer)
    group = case.group or "|".join(parts)
    return replace(case, group=group, key=case.key or f"{group}|{implementation}|{case.device}")


def steady(seconds: float, number: int = 1, **changes: Any) -> Visit:
    """Return a visit whose samples all took so long."""
    plain = Visit(number, samples=(seconds,) * 20, calls=4, max_rel_error=1e-7, peak_memory=2**20)
    return replace(plain, **changes)


def measured(
    case: CaseRecord, seconds: float, *, rounds: int = 3, verdict: Verdict = "ok", reason: str = ""
) -> Measurement:
    """Return a case that took so long in every round."""
    return Measurement(case, tuple(steady(seconds, number + 1) for number in range(rounds)), verdict, reason)


def failed(case: CaseRecord, verdict: Verdict = "unsupported", reason: str = "no float32") -> Measurement:
    """Return a case that failed in round 1."""
    return Measurement(case, (Visit(1, verdict=verdict, reason=reason),), verdict, reason)


def run_of(measurements: Sequence[Measurement], **changes: Any) -> Run:
    """Return a finished run."""
    return replace(RUN, measurements=tuple(measurements), **changes)


def save(store: Store, run: Run) -> None:
    """Enter a whole run into the store, as the runner does."""
    store.create_run(run.id, run.name, run.config, run.environment, run.started)
    store.add_cases(run.id, [measurement.case for measurement in run.measurements])
    for measurement in run.measurements:
        for visit in measurement.visits:
            store.add_visit(run.id, measurement.case.key, visit, run.elapsed)
    store.set_verdicts(run.id, {m.case.key: (m.verdict, m.reason) for m in run.measurements})
    if run.finished:
        store.finish_run(run.id, run.finished, run.elapsed)
