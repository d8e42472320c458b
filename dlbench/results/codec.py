"""Runs as plain values: JSON text, sample blobs, and checked reading of what others may have written."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from dlbench.results.measurement import FAILURES, Measurement, Run, Verdict, Visit

_UNSTORABLE = {0: "\N{REPLACEMENT CHARACTER}"} | dict.fromkeys(
    range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"
)


def storable(text: str) -> str:
    """Return the text without what no database keeps: the null character and halves of surrogate pairs."""
    return text.translate(_UNSTORABLE)


def to_json(value: object) -> str:
    """Return JSON text in ASCII; what is not finite becomes null, what JSON does not know its text."""
    return json.dumps(_finite(value), allow_nan=False, default=str)


def _finite(value: object) -> object:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def from_json(text: str | bytes) -> Any:
    """Return the value of JSON text.

    Raises ValueError for what is not JSON; `NaN` and nesting without end are not.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def to_blob(samples: Iterable[float]) -> bytes:
    """Return the samples as little-endian float64."""
    return np.fromiter(samples, dtype="<f8").tobytes()


def from_blob(blob: bytes) -> tuple[float, ...]:
    """Return the samples of a blob."""
    return tuple(np.frombuffer(blob, dtype="<f8").tolist())


def header(run: Run) -> dict[str, Any]:
    """Return all of a run but its measurements."""
    return {
        "id": run.id,
        "name": run.name,
        "started": run.started,
        "finished": run.finished,
        "elapsed": run.elapsed,
        "config": run.config,
        "environment": run.environment,
    }


def measurement_values(measurement: Measurement) -> dict[str, Any]:
    """Return a measurement as plain values, its samples included."""
    values: dict[str, Any] = _adapter().dump_python(measurement, mode="json")
    return values


def read_run(head: object, measurements: Iterable[object]) -> Run:
    """Return the run of plain values, each checked. Raises ValueError that says what is wrong."""
    try:
        run = TypeAdapter(Run).validate_python(head)
        checked = tuple(_adapter().validate_python(values) for values in measurements)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    for measurement in checked:
        if not all(0 < sample < math.inf for samples in measurement.rounds for sample in samples):
            raise ValueError(f"{measurement.case.key}: a sample is not a positive number")
    return Run(**{**header(run), "measurements": checked})


@cache
def _adapter() -> TypeAdapter[Measurement]:
    return TypeAdapter(Measurement)


def provisional_verdict(visits: tuple[Visit, ...]) -> tuple[Verdict, str]:
    """Return the verdict of a case that the runner has not concluded: the run goes on, or was killed."""
    if visits and visits[-1].verdict in FAILURES:
        return visits[-1].verdict, visits[-1].reason
    rounds = sum(1 for visit in visits if visit.samples)
    return "unconverged", f"the run has not ended, {rounds} round{'' if rounds == 1 else 's'} so far"
