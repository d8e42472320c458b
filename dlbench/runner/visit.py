"""One visit to a problem: prepare its cases, sample them in turn, and say what was seen of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from dlbench.plan.case import Case
from dlbench.results.measurement import Visit
from dlbench.runner.crew import Crew, seat_of
from dlbench.runner.protocol import Failed, Prepare, Prepared, Sampled, Turn
from dlbench.runner.rounds import merged

PASSES = 2
"""Turns of each case in one visit: there and back (A B C, C B A), so that a steady drift hits all alike."""
WARM_UP_SHARE = 0.3
"""Of a visit's sampling time, how long a case may warm up at most."""


@dataclass(frozen=True, slots=True)
class VisitPolicy:
    """How long a case is sampled in this visit, and how long one request may take, in seconds."""

    seconds: float
    timeout: float
    round: int


@dataclass
class _Seen:
    """What this visit has seen of one case so far."""

    case: Case
    prepared: Prepared | None = None
    failure: Failed | None = None
    samples: list[float] = field(default_factory=list)
    disturbed: int = 0
    conditions: list[dict[str, float]] = field(default_factory=list)
    duration: float = 0.0


class GroupVisit:
    """Samples all cases of one problem in turn."""

    def __init__(
        self, crew: Crew, cases: Sequence[Case], policy: VisitPolicy, announce: Callable[[Case], None]
    ) -> None:
        """Take who computes, the cases in the order of their turns, and whom to tell what runs now."""
        self._crew = crew
        self._policy = policy
        self._announce = announce
        self._seen = [_Seen(case) for case in cases]

    def run(self) -> dict[str, Visit]:
        """Return every case's visit by its key."""
        for seen in self._seen:
            self._timed(seen, self._prepare)
        order = self._seen
        for _ in range(PASSES):
            for seen in order:
                if seen.failure is None:
                    self._timed(seen, self._sample)
            order = order[::-1]
        self._crew.release()
        return {seen.case.key: self._visit(seen) for seen in self._seen}

    def _timed(self, seen: _Seen, step: Callable[[_Seen], None]) -> None:
        start = time.monotonic()
        self._announce(seen.case)
        step(seen)
        seen.duration += time.monotonic() - start

    def _prepare(self, seen: _Seen) -> None:
        policy = self._policy
        request = Prepare(seen.case, policy.seconds * WARM_UP_SHARE, measure_memory=policy.round == 1)
        reply = self._crew.ask(seen.case, request, policy.timeout)
        if isinstance(reply, Prepared):
            seen.prepared = reply if seen.prepared is None else seen.prepared
        elif isinstance(reply, Failed):
            self._fail(seen, reply)

    def _sample(self, seen: _Seen) -> None:
        if seen.prepared is None:  # its worker was lost to another case of the problem
            self._prepare(seen)
        if seen.failure is not None:
            return
        turn = Turn(seen.case.key, self._policy.seconds / PASSES)
        reply = self._crew.ask(seen.case, turn, self._policy.timeout + turn.seconds)
        if isinstance(reply, Sampled):
            seen.samples += reply.seconds
            seen.disturbed += reply.disturbed
            seen.conditions.append(dict(reply.conditions))
        elif isinstance(reply, Failed):
            self._fail(seen, reply)

    def _fail(self, seen: _Seen, failed: Failed) -> None:
        seen.failure = failed
        if not failed.lost:
            return
        for other in self._seen:
            if seat_of(other.case) == seat_of(seen.case):
                other.prepared = None

    def _visit(self, seen: _Seen) -> Visit:
        number, duration = self._policy.round, round(seen.duration, 4)
        if seen.failure is not None:
            failure = seen.failure
            return Visit(number, verdict=failure.verdict, reason=failure.reason, duration=duration)
        prepared = seen.prepared
        return Visit(
            round=number,
            samples=tuple(seen.samples),
            calls=prepared.calls if prepared else 0,
            disturbed=seen.disturbed,
            max_rel_error=prepared.max_rel_error if prepared else None,
            peak_memory=prepared.peak_memory if prepared else None,
            duration=duration,
            conditions=merged(seen.conditions),
        )
