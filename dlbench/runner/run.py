"""A run from its plan to its last verdict: plan, verify, rounds, store."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from dlbench.errors import UserError
from dlbench.plan.case import Case
from dlbench.plan.config import Config
from dlbench.results.measurement import CaseRecord, Run, Visit
from dlbench.results.store import Store
from dlbench.runner.crew import Crew, Hire
from dlbench.runner.observer import Observer
from dlbench.runner.protocol import Assignment
from dlbench.runner.rounds import Circumstances, Standing, conclude, due, shuffled_groups, widest_first
from dlbench.runner.visit import GroupVisit, VisitPolicy
from dlbench.runner.worker import WorkerProcess
from dlbench.statistics import LOW_QUANTILE
from dlbench.timing.stopping import Precision


@dataclass(frozen=True)
class Machine:
    """What a run needs to know of where it runs: `environment` is stored with it, `cache` is in bytes."""

    environment: dict[str, Any]
    cores: int
    cache: int


@dataclass
class Session:
    """One sitting of a run: from its start, or its resumption, to its end or interruption.

    `budget` is what this sitting may take in seconds, `spent` what earlier sittings took.
    """

    config: Config
    cases: Sequence[Case]
    machine: Machine
    store: Store
    observer: Observer
    budget: float | None
    hire: Hire = WorkerProcess
    now: Callable[[], float] = time.monotonic
    run_id: str = ""
    spent: float = 0.0
    _standings: dict[str, Standing] = field(default_factory=dict)
    _records: dict[str, CaseRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Note when the sitting began; its budget counts from here."""
        self._start = self.now()
        self._round_start = (
            0.0  # seconds in which the last round's workers came up; the next round needs them too
        )
        self._records = {case.key: record_of(case) for case in self.cases}
        self._standings = {case.key: Standing(case) for case in self.cases}
        measure = self.config.measure
        self._precision = Precision(measure.precision, measure.rounds.min, measure.rounds.max, LOW_QUANTILE)

    def begin(self, name: str) -> None:
        """Enter a new run into the store."""
        moment = datetime.now(UTC)
        self.run_id = f"{name}-{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        config = self.config.model_dump(mode="json")
        self.store.create_run(
            self.run_id, name, config, self.machine.environment, moment.isoformat(timespec="seconds")
        )
        self.store.add_cases(self.run_id, list(self._records.values()))

    def take_up(self, run: Run) -> None:
        """Go on with a run that was interrupted.

        Raises UserError when the run was started with another config.
        """
        if dict(run.config) != self.config.model_dump(mode="json") or {
            m.case.key for m in run.measurements
        } != set(self._records):
            raise UserError(
                f"run {run.id} was started with another config; start a new run without --resume, "
                "or give the options that it was started with"
            )
        self.run_id, self.spent = run.id, run.elapsed
        for measurement in run.measurements:
            self._standings[measurement.case.key].visits.extend(measurement.visits)

    def measure(self) -> None:
        """Visit the cases in rounds until precision, rounds or budget end it, then conclude.

        An interruption (KeyboardInterrupt) keeps what there is, concludes and is raised again.
        """
        kept = sum(bool(standing.visits) for standing in self._standings.values())
        self.observer.started(self.run_id, len(self.cases), kept)
        try:
            self._rounds()
        except KeyboardInterrupt:
            self._conclude(interrupted=True)
            raise
        self._conclude(interrupted=False)
        self.store.finish_run(self.run_id, datetime.now(UTC).isoformat(timespec="seconds"), self._elapsed())

    def _rounds(self) -> None:
        for number in range(1, self.config.measure.rounds.max + 1):
            standings = due(self._standings.values(), number, self._precision)
            groups = shuffled_groups(standings, self._rng(number))
            left = self._left()
            if number > 1 and left is not None:
                groups = widest_first(groups, self._precision, left)
            if left is not None and left <= self._round_start:
                return
            if not groups:  # a resumed run has visited this round already
                continue
            self._round(number, groups)

    def _round(self, number: int, groups: Sequence[list[Standing]]) -> None:
        self.observer.round_started(number, sum(map(len, groups)), self._left())
        crew = Crew(self._assignment, self.hire)
        start = self.now()
        try:
            crew.staff(standing.case for group in groups for standing in group)
            self._round_start = self.now() - start
            self.machine.environment.setdefault("backends", {}).update(crew.environments)
            self.store.set_environment(self.run_id, self.machine.environment)
            for group in groups:
                if not self._fits(group):
                    continue
                self._visit(crew, number, group)
        finally:
            crew.close()
        self.observer.round_ended(number, self.run_id)

    def _visit(self, crew: Crew, number: int, group: Sequence[Standing]) -> None:
        measure = self.config.measure
        seconds = measure.first_visit if number == 1 else measure.visit
        policy = VisitPolicy(seconds, self._timeout(), number)
        visits = GroupVisit(crew, [s.case for s in group], policy, self._announce).run()
        for standing in group:
            self._keep(standing, visits[standing.case.key])

    def _announce(self, case: Case) -> None:
        self.observer.visiting(self._records[case.key])

    def _keep(self, standing: Standing, visit: Visit) -> None:
        standing.visits.append(visit)
        self.store.add_visit(self.run_id, standing.case.key, visit, self._elapsed())
        self.observer.visited(self._records[standing.case.key], visit)

    def _conclude(self, *, interrupted: bool) -> None:
        circumstances = Circumstances(
            self._precision, self.config.measure.budget, self.machine.cores, interrupted
        )
        verdicts = {key: conclude(standing, circumstances) for key, standing in self._standings.items()}
        self.store.set_verdicts(self.run_id, verdicts)

    def _fits(self, group: Sequence[Standing]) -> bool:
        left = self._left()
        return left is None or sum(standing.cost() for standing in group) < left

    def _left(self) -> float | None:
        """Return the seconds of the budget that are left, None without a budget."""
        return None if self.budget is None else max(0.0, self.budget - (self.now() - self._start))

    def _timeout(self) -> float:
        left = self._left()
        limit = self.config.measure.timeout
        return limit if left is None else min(limit, left + limit / 10)

    def _elapsed(self) -> float:
        return self.spent + self.now() - self._start

    def _rng(self, number: int) -> random.Random:
        return random.Random(f"{self.run_id}|{number}")  # noqa: S311 - an order to visit in, not a secret

    def _assignment(self, backend: str, device: str) -> Assignment:
        config = self.config
        threads = config.threads or self.machine.cores
        return Assignment(backend, device, threads, config.seed, config.measure.sample, self.machine.cache)


def record_of(case: Case) -> CaseRecord:
    """Return the case as it is kept in the store."""
    problem = case.problem
    return CaseRecord(
        key=case.key,
        group=case.group,
        op=problem.op.name,
        problem=problem.label,
        params=problem.params,
        suite=case.suite,
        layer=case.layer,
        count=case.count,
        dtype=problem.dtype,
        direction=problem.direction,
        layout=problem.op.layout,
        cache=case.cache,
        data=problem.data,
        backend=case.variant.backend,
        variant=case.variant.name,
        device=case.device,
        baseline=case.baseline,
        flops=problem.flops,
        traffic=problem.traffic,
    )
