"""How a case's time grows: for each variant the exponent of its time as a power of what the sweep's `fit` names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from dlbench.analysis.headline import headline
from dlbench.results.measurement import CaseRecord, Measurement, Run
from dlbench.statistics.fits import FEWEST, PowerLaw, power_law

PARAMETERS = "parameters"
"""What `fit` can name besides a parameter of the op: the table's column, a network's weights and biases."""


@dataclass(frozen=True, slots=True)
class Scaling:
    """One variant's growth: time ∝ x^exponent over so many sizes, from the smallest to the largest x.

    `law` is None where fewer than three sizes have a time.
    """

    op: str
    x: str
    implementation: str
    facts: tuple[str, ...]
    sizes: tuple[float, ...]
    law: PowerLaw | None


def scalings(run: Run) -> list[Scaling]:
    """Return the growth of every variant in every sweep with `fit`, in the order of the table."""
    series: dict[tuple[Any, ...], list[tuple[float, float | None]]] = {}
    for x, ops in _wanted(run.config):
        for measurement in run.measurements:
            case = measurement.case
            if case.op in ops and (size := _size(case, x)) is not None:
                series.setdefault(_group(case, x), []).append((size, _time(measurement)))
    return [_scaling(key, points) for key, points in series.items()]


def _wanted(config: Mapping[str, Any]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Return what each `fit` names, with the ops of its sweeps."""
    ops: dict[str, dict[str, None]] = {}
    for sweep in config.get("sweeps", ()):
        if sweep.get("fit"):
            ops.setdefault(sweep["fit"], {}).update(dict.fromkeys(sweep["op"]))
    return ((x, tuple(names)) for x, names in ops.items())


def _size(case: CaseRecord, x: str) -> float | None:
    size = case.parameters if x == PARAMETERS else json.loads(case.params).get(x)
    return float(size) if isinstance(size, int | float) and not isinstance(size, bool) and size > 0 else None


def _group(case: CaseRecord, x: str) -> tuple[Any, ...]:
    """Return what the sizes of one series share: everything but the sizes, and for weights the op's parameters too."""
    others = {name: value for name, value in json.loads(case.params).items() if name != x}
    shared = "" if x == PARAMETERS else json.dumps(others, sort_keys=True)
    facts = tuple(
        fact
        for fact in (case.dtype, case.direction, case.cache, case.layout, case.flags, case.device)
        if fact
    )
    return case.op, x, case.implementation, facts, shared


def _time(measurement: Measurement) -> float | None:
    estimate = headline(measurement)
    return None if estimate is None else estimate.value


def _scaling(key: tuple[Any, ...], points: list[tuple[float, float | None]]) -> Scaling:
    op, x, implementation, facts, _ = key
    timed = sorted((size, time) for size, time in points if time is not None)
    sizes = tuple(size for size, _ in timed)
    law = power_law(sizes, [time for _, time in timed]) if len(set(sizes)) >= FEWEST else None
    return Scaling(op, x, implementation, facts, sizes, law)
