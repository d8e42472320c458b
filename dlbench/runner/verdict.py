"""What is concluded of a case in the end: a verdict, and for every verdict but ok the reason."""

from __future__ import annotations

from dataclasses import dataclass

from dlbench.results.measurement import PRINTED, Verdict
from dlbench.runner.rounds import Standing
from dlbench.statistics import headline_quantile
from dlbench.statistics.disturbance import disturbance
from dlbench.timing.stopping import Precision
from dlbench.units import format_duration

MOSTLY = 0.5
"""Share of a case's samples that must be disturbed before its time is called noisy."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a verdict needs to know of the run: its budget in seconds (None: none), cores, and why it ended."""

    precision: Precision
    budget: float | None
    cores: int
    interrupted: bool = False


def conclude(standing: Standing, run: Circumstances) -> tuple[Verdict, str]:
    """Return the verdict over all visits of a case and, for every verdict but ok, the reason.

    What the user's own code printed meanwhile is noted beside it: nobody has seen it, and printing takes time.
    """
    verdict, reason = _concluded(standing, run)
    said = next((visit.conditions[PRINTED] for visit in standing.visits if PRINTED in visit.conditions), "")
    return verdict, "; ".join(filter(None, (reason, f"prints: {said}" if said else "")))


def _concluded(standing: Standing, run: Circumstances) -> tuple[Verdict, str]:
    if standing.failure is not None:
        return standing.failure.verdict, standing.failure.reason
    rounds = standing.rounds
    if not rounds:
        return "unconverged", f"not measured: {_why_it_ended(run, 0)} first"
    met = run.precision.on(standing.case.device).met(rounds)
    if slowed := _throttling(standing):
        return "throttled", slowed
    if seen := _noise(standing, run, met=met):
        return "noisy", seen
    if met:
        return "ok", ""
    fewest = run.precision.min_rounds
    if len(rounds) < fewest:
        return "unconverged", f"{len(rounds)} of at least {fewest} rounds: {_why_it_ended(run, len(rounds))}"
    return "unconverged", f"{_width_text(standing, run)}: {_why_it_ended(run, len(rounds))}"


def _noise(standing: Standing, run: Circumstances, *, met: bool) -> str:
    """Return why the case's time will not repeat, the empty string where nothing speaks against it.

    Two speeds, a drift or a heavy disturbance count even where the interval is narrow: it would be a tight wrong number.
    """
    pattern = disturbance(standing.rounds, headline_quantile(standing.case.device))
    taken = sum(len(samples) for samples in standing.rounds)
    disturbed = sum(visit.disturbed for visit in standing.visits) / taken
    if disturbed > MOSTLY and not met:
        preempted = f"{_width_text(standing, run)}, {_preemption(standing, disturbed, run.cores)}"
        return f"{pattern}; {preempted}" if pattern else preempted
    return pattern


def _throttling(standing: Standing) -> str:
    """Return why the device was slowed down in most of the case's rounds, the empty string where it was not."""
    sampled = [visit for visit in standing.visits if visit.samples]
    slowed = [visit.reason for visit in sampled if visit.verdict == "throttled"]
    if len(slowed) <= MOSTLY * len(sampled):
        return ""
    return f"in {len(slowed)} of {len(sampled)} rounds: {slowed[-1]}"


def _width_text(standing: Standing, run: Circumstances) -> str:
    count = len(standing.rounds)
    width = standing.half_width(run.precision)
    return f"±{width:.1%} after {count} round{'s' if count > 1 else ''}, ±{run.precision.target:.1%} asked"


def _why_it_ended(run: Circumstances, rounds: int) -> str:
    if run.interrupted:
        return "the run was interrupted"
    if rounds >= run.precision.max_rounds:
        return f"{rounds} rounds are the most (measure.rounds.max)"
    if run.budget is not None:
        return f"the budget of {format_duration(run.budget)} ran out"
    return "the run ended"


def _preemption(standing: Standing, share: float, cores: int) -> str:
    loads = [float(visit.conditions.get("load", 0.0)) for visit in standing.visits if visit.samples]
    return f"load average {max(loads, default=0.0):.1f} on {cores} cores, {share:.0%} of samples preempted"
