"""What a run will take, before anything runs: a rough figure for `--dry-run`."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from dlbench.ops.problem import Problem
from dlbench.plan.case import Case
from dlbench.plan.config import MeasurePolicy

NAIVE_FLOPS = 1e9
"""Operations per second of a plain loop: one multiply-add each four cycles of a core, the latency of the addition."""
OTHER_FLOPS = 20e9
"""Operations per second of a vectorised variant on a small machine."""
BANDWIDTH = 5e9
"""Bytes per second of one core."""
ACCELERATOR = 100
"""How many times as fast an accelerator is in all of these: a small card's hundreds of GB/s over a core's few."""
ACCELERATOR_WARM_UP = 0.25
"""Seconds that a board is kept at work before its samples."""
UNCOUNTED_CALLS = 5
"""Calls of a visit besides its samples: two to verify, one each to weigh, warm up and calibrate."""
ROUND_START = 4.0
"""Seconds in which the fresh workers of a round import their frameworks."""
LOOKED_AT = 2000
"""Cases that the figures are taken from; a longer plan's are scaled up."""
HOST_COPIES = 3
"""Inputs held as float64 at once while they are drawn, rounded and checked."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """Seconds for the fewest rounds without a budget, and the most bytes that one problem's tensors need at once."""

    seconds: float
    memory: int


def estimate(cases: Iterable[Case], total: int, measure: MeasurePolicy) -> Estimate:
    """Return what so many cases will take, from the first of them."""
    looked_at = list(islice(cases, LOOKED_AT))
    if not looked_at:
        return Estimate(0.0, 0)
    rounds = measure.rounds.min
    sampling = measure.first_visit + (rounds - 1) * measure.visit
    uncounted = sum(UNCOUNTED_CALLS * rounds * _call_seconds(case) for case in looked_at)
    seconds = rounds * ROUND_START + (uncounted + sampling * len(looked_at)) * total / len(looked_at)
    return Estimate(seconds, max(memory(case.problem) for case in looked_at))


def _call_seconds(case: Case) -> float:
    rate = NAIVE_FLOPS if case.variant.name == "naive" else OTHER_FLOPS
    seconds = case.problem.flops / rate + case.problem.traffic / BANDWIDTH
    return seconds if case.device == "cpu" else seconds / ACCELERATOR + ACCELERATOR_WARM_UP / UNCOUNTED_CALLS


def memory(problem: Problem) -> int:
    """Return about how many bytes a problem's tensors and their float64 reference need at once."""
    op, direction = problem.op, problem.direction
    elements = sum(math.prod(s) for s in (*op.inputs(direction).values(), *op.outputs(direction).values()))
    return problem.traffic + HOST_COPIES * 8 * elements
