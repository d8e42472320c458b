"""Runs made up for tests: exact numbers, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from dlbench.results.measurement import CaseRecord, Measurement, Run, Verdict, Visit

ENVIRONMENT = {"machine": {"hostname": "bench", "fingerprint": "f00d", "devices": [{"name": "cpu", "model": "A CPU"}]}}


def record(implementation: str = "numba:naive", **changes: Any) -> CaseRecord:
    """Return a case; the key and the group follow from its fields unless they are given."""
    backend, _, variant = implementation.partition(":")
    plain = CaseRecord(
        key="", group="", op="conv2d", problem="conv2d 1×8×4×4 → 8, 1×1", params='{"c": 8, "n": 1}', suite="",
        layer="", count=1, dtype="float32", direction="forward", layout="NCHW", cache="hot", data="normal",
        backend=backend, variant=variant, device="cpu", baseline="numba:naive", flops=2_000_000, traffic=500_000,
    )  # fmt: skip
    case = replace(plain, **changes)
    group = case.group or "|".join((case.op, case.params, case.dtype, case.direction, case.cache, case.layer))
    return replace(case, group=group, key=case.key or f"{group}|{implementation}|{case.device}")


def steady(seconds: float, number: int = 1, **changes: Any) -> Visit:
    """Return a visit whose samples all took so long."""
    return replace(Visit(number, samples=(seconds,) * 20, calls=4, max_rel_error=1e-7, peak_memory=2**20), **changes)


def measured(case: CaseRecord, seconds: float, *, rounds: int = 3, verdict: Verdict = "ok", reason: str = "") -> Measurement:
    """Return a case that took so long in every round."""
    return Measurement(case, tuple(steady(seconds, number + 1) for number in range(rounds)), verdict, reason)


def failed(case: CaseRecord, verdict: Verdict = "unsupported", reason: str = "no float32") -> Measurement:
    """Return a case that failed in round 1."""
    return Measurement(case, (Visit(1, verdict=verdict, reason=reason),), verdict, reason)


def run_of(measurements: Sequence[Measurement], **changes: Any) -> Run:
    """Return a finished run."""
    plain = Run(
        id="conv-1", name="conv", config={"name": "conv"}, environment=ENVIRONMENT, started="2026-01-02T03:04:05+00:00",
        finished="2026-01-02T03:06:05+00:00", elapsed=120.0, measurements=tuple(measurements),
    )  # fmt: skip
    return replace(plain, **changes)
