"""A session from its plan to its last verdict: verify, sample in rounds, store."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from dlbench.devices.cpu import available_memory
from dlbench.plan.config import MeasurePolicy
from dlbench.results.measurement import Visit
from dlbench.runner.arm import Arm
from dlbench.runner.crew import Crew, Hire
from dlbench.runner.lanes import Tell, side_by_side
from dlbench.runner.observer import Observer
from dlbench.runner.protocol import Assignment, Seat
from dlbench.runner.rounds import (
    Standing,
    cost,
    due,
    shuffled_groups,
    sittings,
    visit_seconds,
    widest_first,
)
from dlbench.runner.verdict import Circumstances
from dlbench.runner.visit import Sitting, VisitPolicy
from dlbench.runner.worker import WorkerProcess
from dlbench.statistics import LOW_QUANTILE
from dlbench.timing.stopping import Precision

DEFAULT_PRECISION = 0.02
"""Half width aimed at where none is asked for: what a quiet machine reaches in a few rounds."""
DEFAULT_ROUNDS = 10
"""Most rounds where none are asked for and no budget ends the run."""
MOST_ROUNDS = 10_000
"""Where the budget alone ends the run: more rounds than a day has time for."""
ENERGY_ROUND = 2
"""Round 1 is to be over soon, and energy takes two seconds a case."""
MEMORY_SHARE = 4
"""The problems of one sitting may hold a quarter of the free memory: frameworks keep as much again for themselves."""


@dataclass(frozen=True, eq=False)
class _Lane:
    """Groups whose cases are visited one after the other, and the workers for them."""

    groups: list[list[Standing]]
    crew: Crew

    @property
    def device(self) -> str:
        """The device of the first case; with one lane there may be others."""
        return self.groups[0][0].case.device


@dataclass
class Session:
    """The measuring of one run, or of several that take turns, from its start, or its resumption, to its end or interruption.

    How well is measured is said by the first arm's config. `budget` is what the session may take in seconds.
    """

    arms: Sequence[Arm]
    observer: Observer
    budget: float | None
    hire: Hire = WorkerProcess
    now: Callable[[], float] = time.monotonic
    _precision: Precision = field(init=False)

    def __post_init__(self) -> None:
        """Note when the session began; its budget counts from here."""
        self._start = self.now()
        self._round_start = (
            0.0  # seconds in which the last round's workers came up; the next round needs them too
        )
        self._overhead = 0.0  # seconds that the last round took besides its samples
        self._precision = precision_of(self._measure)

    def measure(self) -> None:
        """Visit the cases in rounds until precision, rounds or budget end it, then conclude.

        An interruption (KeyboardInterrupt) keeps what there is, concludes and is raised again.
        """
        names = " and ".join(arm.run_id for arm in self.arms)
        self.observer.started(
            names, sum(len(arm.cases) for arm in self.arms), sum(arm.kept for arm in self.arms)
        )
        try:
            self._rounds()
        except KeyboardInterrupt:
            self._conclude(interrupted=True)
            raise
        self._conclude(interrupted=False)
        for arm in self.arms:
            arm.finish(self._elapsed())

    @property
    def _measure(self) -> MeasurePolicy:
        return self.arms[0].config.measure

    def _rounds(self) -> None:
        for number in range(1, self._precision.max_rounds + 1):
            standings = [standing for arm in self.arms for standing in arm.standings.values()]
            groups = shuffled_groups(due(standings, number, self._precision), self._rng(number))
            left = self._left()
            if number > 1 and left is not None:
                groups = widest_first(groups, self._precision, left - self._round_start)
            if left is not None and left <= self._round_start:
                return
            if groups:  # else a resumed run has visited this round already
                self._round(number, groups)
            elif not any(standing.visited_in(number) for standing in standings):
                return  # nobody wants a visit, or there is no time for one

    def _round(self, number: int, groups: Sequence[list[Standing]]) -> None:
        self.observer.round_started(number, sum(map(len, groups)), self._left())
        start = self.now()
        lanes = [_Lane(mine, Crew(self._assignment, self.hire)) for mine in self._lanes(groups)]
        try:
            for lane in lanes:
                lane.crew.staff(standing.seat for group in lane.groups for standing in group)
            self._round_start = self.now() - start
            for arm in self.arms:
                arm.learn({seat: facts for lane in lanes for seat, facts in lane.crew.environments.items()})
            cases = max(sum(map(len, lane.groups)) for lane in lanes)
            seconds = self._visit_seconds(number, cases)
            self._visit_lanes(lanes, number, seconds)
            self._overhead = max(0.0, self.now() - start - seconds * cases)
        finally:
            for lane in lanes:
                lane.crew.close()
        self.observer.round_ended(number, self.arms[0].run_id)

    def _lanes(self, groups: Sequence[list[Standing]]) -> list[list[list[Standing]]]:
        """Return the groups as they follow one another: all in one lane, or with `parallel` a lane for each device."""
        if not self._measure.parallel:
            return [list(groups)]
        devices = sorted({standing.case.device for group in groups for standing in group})
        on = {
            device: [[one for one in group if one.case.device == device] for group in groups]
            for device in devices
        }
        return [[group for group in mine if group] for mine in on.values()]

    def _visit_lanes(self, lanes: Sequence[_Lane], number: int, seconds: float) -> None:
        """Visit the lanes together, but the processor's before the others: they need it to issue their work."""
        first = [lane for lane in lanes if lane.device == "cpu" or len(lanes) == 1]
        for lane in first:
            self._visit_lane(lane, number, seconds, lambda entry: entry())
        others = [lane for lane in lanes if lane not in first]

        def stop() -> None:
            for lane in others:
                lane.crew.close()

        side_by_side([partial(self._visit_lane, lane, number, seconds) for lane in others], stop)

    def _visit_lane(self, lane: _Lane, number: int, seconds: float, tell: Tell) -> None:
        for bundle in sittings(lane.groups, seconds, available_memory() // MEMORY_SHARE):
            if lane.crew.closed:
                return
            energy = self._measure.energy and number == ENERGY_ROUND
            self._sit(lane.crew, VisitPolicy(seconds, self._timeout(), number, energy), bundle, tell)

    def _visit_seconds(self, number: int, cases: int) -> float:
        measure, left = self._measure, self._left()
        if number == 1:
            return measure.first_visit
        if left is None or self._precision.enough > 0:
            return measure.visit
        wanted = max(1, self._precision.min_rounds - number + 1)
        return visit_seconds(measure.visit, self._overhead, cases, left, wanted)

    def _sit(self, crew: Crew, policy: VisitPolicy, bundle: Sequence[list[Standing]], tell: Tell) -> None:
        affordable = self._affordable(bundle, policy.seconds)
        if not affordable:
            return

        def announce(standing: Standing) -> None:
            tell(partial(self._announce, standing))

        seen = Sitting(crew, affordable, policy, announce, self._in_time, self.now).run()
        if crew.closed:  # it was interrupted, and its workers' end is no verdict on their cases
            return
        for standing, visit in seen:
            tell(partial(self._keep, standing, visit))

    def _keep(self, standing: Standing, visit: Visit) -> None:
        record = self.arms[standing.arm].keep(standing, visit, self._elapsed())
        self.observer.visited(record, visit)

    def _announce(self, standing: Standing) -> None:
        self.observer.visiting(self.arms[standing.arm].records[standing.case.key])

    def _affordable(self, bundle: Sequence[list[Standing]], seconds: float) -> list[list[Standing]]:
        """Return the groups that fit into the time left, in their order: by their dearest visits, or what one must take."""
        left = self._left()
        if left is None:
            return list(bundle)
        chosen = []
        for group in bundle:
            takes = max(cost(group), seconds * len(group))
            if takes < left:
                chosen.append(group)
                left -= takes
        return chosen

    def _conclude(self, *, interrupted: bool) -> None:
        for arm in self.arms:
            arm.conclude(Circumstances(self._precision, self._measure.budget, arm.machine.cores, interrupted))

    def _left(self) -> float | None:
        """Return the seconds of the budget that are left, None without a budget."""
        return None if self.budget is None else max(0.0, self.budget - (self.now() - self._start))

    def _in_time(self) -> bool:
        left = self._left()
        return left is None or left > 0

    def _timeout(self) -> float:
        left = self._left()
        limit = self._measure.timeout
        return limit if left is None else min(limit, left + limit / 10)

    def _elapsed(self) -> float:
        return self.now() - self._start

    def _rng(self, number: int) -> random.Random:
        return random.Random(f"{self.arms[0].run_id}|{number}")  # noqa: S311 - an order to visit in, not a secret

    def _assignment(self, seat: Seat) -> Assignment:
        return self.arms[seat.arm].assignment(seat)


def precision_of(measure: MeasurePolicy) -> Precision:
    """Return when the cases of a run have been measured well enough.

    A precision that was asked for ends a case; where only a budget was given, all of it is used, and the default says
    what counts as measured well.
    """
    asked = measure.precision
    if asked is None and measure.budget is not None:
        most = measure.rounds.max or MOST_ROUNDS
        return Precision(DEFAULT_PRECISION, measure.rounds.min, most, LOW_QUANTILE, enough=0.0)
    target = asked or DEFAULT_PRECISION
    most = measure.rounds.max or max(DEFAULT_ROUNDS, measure.rounds.min)
    return Precision(target, measure.rounds.min, most, LOW_QUANTILE, target)
