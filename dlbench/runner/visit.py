"""A sitting: prepare the cases of some problems, sample them in many short turns, and say what was seen of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlbench.results.measurement import TURNS, Visit
from dlbench.runner.crew import Crew
from dlbench.runner.protocol import Failed, Prepare, Prepared, Sampled, Turn
from dlbench.runner.rounds import Standing, merged

TURN = 0.025
"""Seconds of one turn. A processor's clock stays at one level for tenths of seconds to minutes: many short turns, spread over
the whole sitting, see more of its levels than one long turn does, and see them alike for all cases of a problem."""
FEWEST_PASSES = 2
"""There and back (A B C, C B A), so that a steady drift hits all alike."""
WARM_UP_SHARE = 0.3
"""Of a visit's sampling time, how long a case may warm up at most."""


@dataclass(frozen=True, slots=True)
class VisitPolicy:
    """How long a case is sampled in this visit, and how long one request may take, in seconds."""

    seconds: float
    timeout: float
    round: int
    energy: bool = False

    @property
    def passes(self) -> int:
        """How many turns each case has: an even number."""
        return max(FEWEST_PASSES, 2 * round(self.seconds / TURN / 2))


@dataclass
class _Seen:
    """What this visit has seen of one case so far."""

    standing: Standing
    prepared: Prepared | None = None
    failure: Failed | None = None
    samples: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    disturbed: int = 0
    conditions: list[dict[str, Any]] = field(default_factory=list)
    throttled: list[str] = field(default_factory=list)
    duration: float = 0.0
    sampled: float = 0.0
    turns: int = 0


class Sitting:
    """Samples all cases of some problems in turn."""

    def __init__(
        self,
        crew: Crew,
        groups: Sequence[Sequence[Standing]],
        policy: VisitPolicy,
        announce: Callable[[Standing], None],
        in_time: Callable[[], bool],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take who computes, the cases by problem in the order of their turns, whom to tell, and the time limit.

        Where no time is left, problems not yet prepared are left out, and the last passes as well.
        """
        self._crew = crew
        self._policy = policy
        self._announce = announce
        self._in_time = in_time
        self._now = now
        self._groups = groups
        self._seen: list[_Seen] = []

    def run(self) -> list[tuple[Standing, Visit]]:
        """Return what was seen of every case that there was time for."""
        for group in self._groups:
            if self._seen and not self._in_time():
                break
            for standing in group:
                seen = _Seen(standing)
                self._seen.append(seen)
                self._timed(seen, self._prepare)
        for number in range(self._policy.passes):
            if number >= FEWEST_PASSES and not self._in_time():
                break
            for seen in self._seen if number % 2 == 0 else self._seen[::-1]:
                if seen.failure is None and not self._had_its_share(seen):
                    self._timed(seen, self._sample)
        self._crew.release()
        return [(seen.standing, self._visit(seen)) for seen in self._seen]

    def _had_its_share(self, seen: _Seen) -> bool:
        """Return whether long calls have used the case's time up before the last pass."""
        return seen.turns >= FEWEST_PASSES and seen.sampled >= self._policy.seconds

    def _timed(self, seen: _Seen, step: Callable[[_Seen], None]) -> None:
        start = self._now()
        self._announce(seen.standing)
        step(seen)
        seen.duration += self._now() - start

    def _prepare(self, seen: _Seen) -> None:
        policy = self._policy
        request = Prepare(
            seen.standing.case, policy.seconds * WARM_UP_SHARE, weigh=policy.round == 1, energy=policy.energy
        )
        reply = self._crew.ask(seen.standing.seat, request, policy.timeout)
        if isinstance(reply, Prepared):
            seen.prepared = reply
        elif isinstance(reply, Failed):
            self._fail(seen, reply)

    def _sample(self, seen: _Seen) -> None:
        if seen.prepared is None:  # its worker was lost to another case
            self._prepare(seen)
        if seen.failure is not None or seen.prepared is None:
            return
        turn = Turn(seen.standing.case.key, self._policy.seconds / self._policy.passes)
        reply = self._crew.ask(seen.standing.seat, turn, self._policy.timeout + turn.seconds)
        if isinstance(reply, Sampled):
            seen.samples += reply.seconds
            seen.sizes.append(len(reply.seconds))
            seen.sampled += sum(reply.seconds) * seen.prepared.calls
            seen.turns += 1
            seen.disturbed += reply.disturbed
            seen.conditions.append(dict(reply.conditions))
            seen.throttled += [reply.throttled] if reply.throttled else []
        elif isinstance(reply, Failed):
            self._fail(seen, reply)

    def _fail(self, seen: _Seen, failed: Failed) -> None:
        seen.failure = failed
        if not failed.lost:
            return
        for other in self._seen:
            if other.standing.seat == seen.standing.seat:
                other.prepared = None

    def _visit(self, seen: _Seen) -> Visit:
        number, duration = self._policy.round, round(seen.duration, 4)
        if seen.failure is not None:
            failure = seen.failure
            return Visit(number, verdict=failure.verdict, reason=failure.reason, duration=duration)
        prepared = seen.prepared
        throttled = len(seen.throttled) > seen.turns / 2
        return Visit(
            round=number,
            samples=tuple(seen.samples),
            calls=prepared.calls if prepared else 0,
            disturbed=seen.disturbed,
            verdict="throttled" if throttled else "ok",
            reason=seen.throttled[-1] if throttled else "",
            max_rel_error=prepared.max_rel_error if prepared else None,
            peak_memory=prepared.peak_memory if prepared else None,
            duration=duration,
            conditions={
                **merged(seen.conditions),
                **(prepared.details if prepared else {}),
                TURNS: seen.sizes,
            },
        )
