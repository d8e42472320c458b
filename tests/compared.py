"""Runs whose rounds differ by a known spread, for tests of comparisons."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from runs import ENVIRONMENT, record, run_of, steady

from dlbench.analysis.comparison import Comparison, compare
from dlbench.results.digest import digest_of
from dlbench.results.measurement import CaseRecord, Measurement, Run, Verdict

SPREAD = 0.01


def taken(
    case: CaseRecord,
    seconds: float,
    *,
    rounds: int | Sequence[int] = 5,
    spread: float = SPREAD,
    seed: int = 0,
    verdict: Verdict = "ok",
    reason: str = "",
) -> Measurement:
    """Return a case whose rounds have that geometric mean and that standard deviation, exactly."""
    numbers = range(1, rounds + 1) if isinstance(rounds, int) else rounds
    drawn = np.random.default_rng(seed).permutation(np.linspace(-1.0, 1.0, len(numbers) + 2)[1:-1])
    if drawn.size > 1:
        drawn /= drawn.std(ddof=1)
    times = seconds * np.exp(spread * drawn)
    visits = tuple(steady(float(time), number) for number, time in zip(numbers, times, strict=True))
    return Measurement(case, visits, verdict, reason)


def layers(**seconds: float) -> list[Measurement]:
    """Return a case for each layer."""
    return [
        taken(record(layer=name), time, seed=number) for number, (name, time) in enumerate(seconds.items())
    ]


def named(run_id: str, measurements: Sequence[Measurement], **environment: Any) -> Run:
    """Return a run of that id; what is given of the environment replaces what all runs share."""
    return run_of(measurements, id=run_id, environment={**ENVIRONMENT, **environment})


def compared(*runs: Run, **options: Any) -> Comparison:
    """Return the comparison of runs."""
    return compare([digest_of(run) for run in runs], **options)


def row(comparison: Comparison, **wanted: str) -> Mapping[str, Any]:
    """Return the one row with these cells; what is unknown is None."""
    frame = comparison.frame
    for name, value in wanted.items():
        frame = frame[frame[name] == value]
    (found,) = json.loads(frame.to_json(orient="records", double_precision=15))
    return dict(found)
