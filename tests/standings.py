"""Cases as the runner knows them, with visits made up: exact numbers, no clock."""

from __future__ import annotations

from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.plan.case import Case, Variant
from dlbench.results.measurement import Visit
from dlbench.runner.rounds import Standing
from dlbench.timing.stopping import Precision

PRECISION = Precision(target=0.03, min_rounds=3, max_rounds=5, enough=0.03)


def case(m: int = 8, variant: str = "right") -> Case:
    return Case(Problem(Matmul(m=m, n=8, k=8)), Variant("fake", variant), "cpu")


def standing(*visits: Visit, m: int = 8, variant: str = "right") -> Standing:
    return Standing(case(m, variant), list(visits))


def quiet(number: int, seconds: float = 1.0, disturbed: int = 0, duration: float = 1.0) -> Visit:
    return Visit(
        number, samples=(seconds,) * 10, disturbed=disturbed, duration=duration, conditions={"load": 3.1}
    )
