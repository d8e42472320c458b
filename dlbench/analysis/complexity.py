"""How the time of a benchmark of the user's own grows with one of its arguments."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass

from dlbench.analysis.headline import headline
from dlbench.results.measurement import COMPLEXITY, Measurement, Run
from dlbench.statistics.fits import Growth, PowerLaw, growth, power_law


@dataclass(frozen=True, slots=True)
class Complexity:
    """A benchmark's growth over one argument, the others as in `setting` ("k=3").

    `growth` and `exponent` are None where too few of its sizes have a time, which `reason` says.
    """

    name: str
    implementation: str
    argument: str
    setting: str
    growth: Growth | None = None
    exponent: PowerLaw | None = None
    reason: str = ""


def complexities(run: Run) -> list[Complexity]:
    """Return the growth of every benchmark that told over which argument it is to be fitted, in the run's order."""
    told = _arguments(run)
    lines: defaultdict[tuple[str, str, str, str], list[tuple[float, Measurement]]] = defaultdict(list)
    for measurement in run.measurements:
        case = measurement.case
        argument = told.get((case.op, case.implementation), "")
        values = json.loads(case.params) if argument else {}
        if argument in values:
            size = values.pop(argument)
            setting = ", ".join(f"{name}={value}" for name, value in values.items())
            lines[case.op, case.implementation, argument, setting].append((float(size), measurement))
    return [_fitted(*line, points) for line, points in lines.items()]


def _arguments(run: Run) -> dict[tuple[str, str], str]:
    """Return the argument of each benchmark: a row that failed has not told it, but another one has."""
    return {
        (measurement.case.op, measurement.case.implementation): str(visit.conditions[COMPLEXITY])
        for measurement in run.measurements
        for visit in measurement.visits
        if COMPLEXITY in visit.conditions
    }


def _fitted(
    name: str, implementation: str, argument: str, setting: str, points: list[tuple[float, Measurement]]
) -> Complexity:
    timed = [(size, time.value) for size, one in points if (time := headline(one)) is not None]
    sizes, times = [size for size, _ in timed], [time for _, time in timed]
    try:
        return Complexity(
            name, implementation, argument, setting, growth(sizes, times), power_law(sizes, times)
        )
    except ValueError:
        told = f"{len(timed)} of {len(points)} sizes have a time: too few for a fit"
        return Complexity(name, implementation, argument, setting, reason=told)
