"""One run of a session: its config, its cases, and what has been seen of them, entered in the store as it comes."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from dlbench.errors import UserError
from dlbench.plan.case import Case
from dlbench.plan.config import Config
from dlbench.results.measurement import BYTES, FLOPS, CaseRecord, Run, Visit
from dlbench.results.store import Store
from dlbench.runner.protocol import Assignment, Seat
from dlbench.runner.rounds import Standing
from dlbench.runner.verdict import Circumstances, conclude

FILES = "files"
"""The section of a run's environment that holds the digests of the user's own files, by name."""


@dataclass(frozen=True)
class Machine:
    """What a run needs to know of where it runs: `environment` is stored with it, `cache` is in bytes."""

    environment: dict[str, Any]
    cores: int
    cache: int


@dataclass
class Arm:
    """A run that is being measured; a session that compares has several and lets them take turns.

    `python` is the interpreter of its workers, empty for our own; `number` its place in the session.
    """

    config: Config
    cases: Sequence[Case]
    machine: Machine
    store: Store
    python: str = ""
    number: int = 0
    run_id: str = ""
    spent: float = 0.0
    standings: dict[str, Standing] = field(default_factory=dict)
    records: dict[str, CaseRecord] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing seen of any case."""
        self.records = {case.key: record_of(case) for case in self.cases}
        self.standings = {case.key: Standing(case, arm=self.number) for case in self.cases}

    def begin(self, name: str) -> None:
        """Enter a new run into the store."""
        moment = datetime.now(UTC)
        self.run_id = f"{name}-{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        config = self.config.model_dump(mode="json")
        self.store.create_run(
            self.run_id, name, config, self.machine.environment, moment.isoformat(timespec="seconds")
        )
        self.store.add_cases(self.run_id, list(self.records.values()))

    def take_up(self, run: Run) -> None:
        """Go on with a run that was interrupted.

        Raises UserError when the run was started with another config.
        """
        if dict(run.config) != self.config.model_dump(mode="json") or {
            m.case.key for m in run.measurements
        } != set(self.records):
            raise UserError(
                f"run {run.id} was started with another config; start a new run without --resume, "
                "or give the options that it was started with"
            )
        if run.environment.get(FILES) != self.machine.environment.get(FILES):
            named = ", ".join(self.machine.environment.get(FILES, ()))
            raise UserError(
                f"run {run.id} was started with other contents of {named}; start a new run without --resume"
            )
        self.run_id, self.spent = run.id, run.elapsed
        for measurement in run.measurements:
            self.standings[measurement.case.key].visits.extend(measurement.visits)

    @property
    def kept(self) -> int:
        """How many cases an earlier sitting has visited."""
        return sum(bool(standing.visits) for standing in self.standings.values())

    def assignment(self, seat: Seat) -> Assignment:
        """Return what a worker of this arm is started for."""
        config = self.config
        threads = config.threads or self.machine.cores
        minimum = config.measure.sample
        return Assignment(
            seat.backend,
            seat.device,
            threads,
            config.seed,
            minimum,
            self.machine.cache,
            self.python,
            seat.files,
        )

    def learn(self, environments: Mapping[Seat, Mapping[str, str]]) -> None:
        """Store what the workers of this arm said of their frameworks: those on an accelerator beside the processor's.

        Of a backend that the user's files have a worker of, too, that of its own worker counts: a file may change settings.
        """
        ours = {
            seat.backend if seat.device == "cpu" else f"{seat.backend} on {seat.device}": dict(facts)
            for seat, facts in sorted(environments.items(), key=lambda one: not one[0].files)
            if seat.arm == self.number and facts
        }
        self.machine.environment.setdefault("backends", {}).update(ours)
        self.store.set_environment(self.run_id, self.machine.environment)

    def keep(self, standing: Standing, visit: Visit, elapsed: float) -> CaseRecord:
        """Enter a visit, `elapsed` seconds into the session, and return the case that it was paid to."""
        key = standing.case.key
        standing.visits.append(visit)
        self.store.add_visit(self.run_id, key, visit, self.spent + elapsed)
        if (costs := _costs(visit)) is not None:
            flops, traffic = costs
            self.records[key] = replace(self.records[key], flops=flops, traffic=traffic)
            self.store.set_costs(self.run_id, key, flops, traffic)
        return self.records[key]

    def conclude(self, circumstances: Circumstances) -> None:
        """Enter every case's verdict."""
        verdicts = {key: conclude(standing, circumstances) for key, standing in self.standings.items()}
        self.store.set_verdicts(self.run_id, verdicts)

    def finish(self, elapsed: float) -> None:
        """Mark the run as finished, `elapsed` seconds into the session."""
        self.store.finish_run(
            self.run_id, datetime.now(UTC).isoformat(timespec="seconds"), self.spent + elapsed
        )


def _costs(visit: Visit) -> tuple[int, int] | None:
    """Return the operations and bytes that a function of the user's own has told of an iteration, None where it told none."""
    if FLOPS not in visit.conditions and BYTES not in visit.conditions:
        return None
    return round(visit.conditions.get(FLOPS, 0)), round(visit.conditions.get(BYTES, 0))


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
        layout=case.layout or problem.op.own_layout(),
        cache=case.cache,
        data=problem.data,
        backend=case.variant.backend,
        variant=case.variant.name,
        device=case.device,
        baseline=case.baseline,
        flops=problem.flops,
        traffic=problem.traffic,
        flags=" ".join(case.flags),
        parameters=problem.op.parameters(),
        activations=problem.op.activations(),
    )
