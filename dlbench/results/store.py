"""The Store: the database of runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Row, Select, bindparam, delete, distinct, func, insert, or_, select, update

from dlbench.errors import SelectionError, StoreError, nearest
from dlbench.results.codec import from_blob, from_json, provisional_verdict, storable, to_blob, to_json
from dlbench.results.database import Database, default_url
from dlbench.results.digest import Digest, read_digest
from dlbench.results.measurement import CaseRecord, Measurement, Run, Verdict, Visit
from dlbench.results.schema import CASES, RUNS, VISITS

__all__ = ["RunSummary", "Store", "default_url"]

LATEST = "latest"
_SHOWN = 10
"""How many runs an error message lists: enough to recognise the one that was meant."""
_RECORD_FIELDS = tuple(CaseRecord.__dataclass_fields__)
_WHOLE_NUMBERS_AS_TEXT = ("flops", "traffic")


@dataclass(frozen=True, slots=True)
class RunSummary:
    """A run in a few words: `measured` of its `cases` have been visited; `fingerprint` is its machine's."""

    id: str
    name: str
    started: str
    finished: str
    elapsed: float
    cases: int
    measured: int
    devices: tuple[str, ...]
    hostname: str
    fingerprint: str


class Store:
    """Runs, their cases and every visit, each committed as it ends.

    Several processes may use one store at once. Every method raises StoreError when the database cannot be
    read or written.
    """

    def __init__(self, address: str | Path) -> None:
        """Take a path to an SQLite file, or a database URL; the tables are made on first use.

        Raises StoreError when there is no store that this version can use.
        """
        self._database = Database(address)
        self.name = self._database.name

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self._database.close()

    def create_run(
        self, run_id: str, name: str, config: Mapping[str, Any], environment: Mapping[str, Any], started: str
    ) -> None:
        """Enter a new run, `started` in ISO 8601. Raises StoreError when the id is taken."""
        values = {"id": storable(run_id), "name": storable(name), "started": started}
        with self._database.writing() as connection:
            if self._number(connection, run_id) is not None:
                raise StoreError(f"{self.name}: there is a run {run_id} already")
            connection.execute(
                insert(RUNS).values(**values, config=to_json(config), environment=to_json(environment))
            )

    def set_environment(self, run_id: str, environment: Mapping[str, Any]) -> None:
        """Replace the run's environment: versions and flags become known when the workers start."""
        self._update(run_id, environment=to_json(environment))

    def add_cases(self, run_id: str, records: Sequence[CaseRecord]) -> None:
        """Enter the run's cases; `load` gives them back in this order."""
        with self._database.writing() as connection:
            run = self._existing(connection, run_id)
            start = connection.scalar(select(func.count()).where(CASES.c.run == run)) or 0
            rows = [_case_values(record, run, start + index) for index, record in enumerate(records)]
            if rows:
                connection.execute(insert(CASES), rows)

    def add_visit(self, run_id: str, case_key: str, visit: Visit, elapsed: float) -> None:
        """Enter what a round saw of a case, in the place of an earlier visit of that round.

        `elapsed` is the run's measuring time so far in seconds. The case's verdict did not know of this visit
        and is forgotten.
        """
        with self._database.writing() as connection:
            run = self._existing(connection, run_id)
            chosen = (CASES.c.run == run) & (CASES.c.key == storable(case_key))
            case = connection.scalar(select(CASES.c.number).where(chosen))
            if case is None:
                raise StoreError(f"{self.name}: run {run_id} has no case {case_key}")
            connection.execute(delete(VISITS).where(VISITS.c.case == case, VISITS.c.round == visit.round))
            connection.execute(insert(VISITS).values(case=case, **_visit_values(visit)))
            connection.execute(update(CASES).where(CASES.c.number == case).values(verdict=None, reason=None))
            connection.execute(update(RUNS).where(RUNS.c.number == run).values(elapsed=elapsed))

    def set_costs(self, run_id: str, case_key: str, flops: int, traffic: int) -> None:
        """Enter the operations and bytes of one call, where they become known when it is made."""
        with self._database.writing() as connection:
            run = self._existing(connection, run_id)
            chosen = (CASES.c.run == run) & (CASES.c.key == storable(case_key))
            connection.execute(update(CASES).where(chosen).values(flops=str(flops), traffic=str(traffic)))

    def set_verdicts(self, run_id: str, verdicts: Mapping[str, tuple[Verdict, str]]) -> None:
        """Enter the verdict and the reason over all visits of each case, by the case's key."""
        with self._database.writing() as connection:
            run = self._existing(connection, run_id)
            numbers = _pairs(connection, select(CASES.c.key, CASES.c.number).where(CASES.c.run == run))
            rows = [
                {"case": numbers.get(storable(key)), "verdict": verdict, "reason": storable(reason)}
                for key, (verdict, reason) in verdicts.items()
            ]
            if rows:
                change = update(CASES).where(CASES.c.number == bindparam("case"))
                connection.execute(
                    change.values(verdict=bindparam("verdict"), reason=bindparam("reason")), rows
                )

    def finish_run(self, run_id: str, finished: str, elapsed: float) -> None:
        """Mark the run as finished at the moment given in ISO 8601, after so many seconds of measuring."""
        self._update(run_id, finished=finished, elapsed=elapsed)

    def delete(self, run_id: str) -> None:
        """Remove a run and all that was measured in it.

        Raises SelectionError when there is no run of that id.
        """
        with self._database.writing() as connection:
            if self._number(connection, run_id) is None:
                raise SelectionError(self._unknown(connection, run_id))
            connection.execute(delete(RUNS).where(RUNS.c.id == storable(run_id)))

    def load(self, reference: str = LATEST) -> Run:
        """Return the run with that id, the newest of that name, the one whose id begins so, or the "latest".

        Raises SelectionError when there is none, or more than one begins so.
        """
        with self._database.reading() as connection:
            return self._load(connection, self._resolve(connection, reference))

    def digest(self, reference: str = LATEST) -> Digest:
        """Return what a comparison needs of the run that `load` would give, without a Python object for each sample.

        Raises SelectionError as `load` does.
        """
        with self._database.reading() as connection:
            number = self._resolve(connection, reference)
            return read_digest(connection, _header(connection, number), number)

    def unfinished(self, reference: str) -> Run | None:
        """Return the newest unfinished run with that name, or whose id begins so; None without one."""
        text = storable(reference)
        query = (
            select(RUNS.c.number)
            .where(RUNS.c.finished == "", or_(RUNS.c.name == text, _begins(text)))
            .order_by(RUNS.c.started.desc(), RUNS.c.number.desc())
            .limit(1)
        )
        with self._database.reading() as connection:
            number = connection.scalar(query)
            return None if number is None else self._load(connection, number)

    def runs(self) -> list[RunSummary]:
        """Return every run in a few words, the newest first, without reading a sample."""
        with self._database.reading() as connection:
            return self._summaries(connection)

    def finished(self, beginning: str) -> list[str]:
        """Return the ids of the finished runs whose name begins so, the newest first."""
        text = storable(beginning)
        query = (
            select(RUNS.c.id)
            .where(RUNS.c.finished != "", func.substr(RUNS.c.name, 1, len(text)) == text)
            .order_by(RUNS.c.started.desc(), RUNS.c.number.desc())
        )
        with self._database.reading() as connection:
            return list(connection.scalars(query))

    def _summaries(self, connection: Connection) -> list[RunSummary]:
        counted = _pairs(connection, select(CASES.c.run, func.count()).group_by(CASES.c.run))
        visited = select(CASES.c.run, func.count(distinct(VISITS.c.case))).join(
            VISITS, VISITS.c.case == CASES.c.number
        )
        measured = _pairs(connection, visited.group_by(CASES.c.run))
        devices = defaultdict(list)
        for run, device in connection.execute(
            select(CASES.c.run, CASES.c.device).distinct().order_by(CASES.c.device)
        ):
            devices[run].append(device)
        newest_first = select(RUNS).order_by(RUNS.c.started.desc(), RUNS.c.number.desc())
        return [
            _summary(row, counted.get(row.number, 0), measured.get(row.number, 0), tuple(devices[row.number]))
            for row in connection.execute(newest_first)
        ]

    def _load(self, connection: Connection, number: int) -> Run:
        visits: defaultdict[int, list[Visit]] = defaultdict(list)
        query = select(VISITS).join(CASES, VISITS.c.case == CASES.c.number).where(CASES.c.run == number)
        for row in connection.execute(query.order_by(VISITS.c.case, VISITS.c.round)):
            visits[row.case].append(_visit(row))
        rows = connection.execute(select(CASES).where(CASES.c.run == number).order_by(CASES.c.position))
        measurements = tuple(_measurement(row, tuple(visits[row.number])) for row in rows)
        return replace(_header(connection, number), measurements=measurements)

    def _resolve(self, connection: Connection, reference: str) -> int:
        """Return the number of the run that is meant."""
        text = storable(reference)
        newest = select(RUNS.c.number).order_by(RUNS.c.started.desc(), RUNS.c.number.desc()).limit(1)
        queries = [newest.where(RUNS.c.id == text), newest.where(RUNS.c.name == text)]
        if text == LATEST:
            queries = [newest]
        for query in queries:
            if (number := connection.scalar(query)) is not None:
                return int(number)
        found = connection.execute(
            select(RUNS.c.number, RUNS.c.id).where(_begins(text)).order_by(RUNS.c.id)
        ).all()
        if not text or not found:
            raise SelectionError(self._unknown(connection, reference))
        if len(found) > 1:
            ids = ", ".join(row.id for row in found[:_SHOWN])
            raise SelectionError(
                f"{len(found)} runs begin with `{reference}`: {ids}{', …' if len(found) > _SHOWN else ''}"
            )
        return int(found[0].number)

    def _unknown(self, connection: Connection, reference: str) -> str:
        names = connection.scalars(select(RUNS.c.name).distinct()).all()
        ids = connection.scalars(select(RUNS.c.id).order_by(RUNS.c.number.desc()).limit(_SHOWN)).all()
        if not names:
            return f"no run `{reference}`: {self.name} is empty; `dlbench run quick` measures one"
        return f"no run `{reference}` in {self.name}; {nearest(reference, [*names[:_SHOWN], *ids, LATEST])}"

    def _update(self, run_id: str, **values: str | float) -> None:
        with self._database.writing() as connection:
            number = self._existing(connection, run_id)
            connection.execute(update(RUNS).where(RUNS.c.number == number).values(**values))

    def _number(self, connection: Connection, run_id: str) -> int | None:
        return connection.scalar(select(RUNS.c.number).where(RUNS.c.id == storable(run_id)))

    def _existing(self, connection: Connection, run_id: str) -> int:
        number = self._number(connection, run_id)
        if number is None:
            raise StoreError(f"{self.name}: there is no run {run_id}; it may have been deleted meanwhile")
        return number


def _header(connection: Connection, number: int) -> Run:
    """Return a run without its measurements."""
    row = connection.execute(select(RUNS).where(RUNS.c.number == number)).one()
    return Run(
        id=row.id,
        name=row.name,
        config=from_json(row.config),
        environment=from_json(row.environment),
        started=row.started,
        finished=row.finished,
        elapsed=row.elapsed,
    )


def _pairs(connection: Connection, query: Select[Any]) -> dict[Any, Any]:
    """Return the rows of a query for two columns as a mapping from the first to the second."""
    return {first: second for first, second in connection.execute(query)}  # noqa: C416 - rows, not tuples


def _begins(text: str) -> Any:
    """Return the condition that a run's id begins with the text, to the letter."""
    return func.substr(RUNS.c.id, 1, len(text)) == text


def _case_values(record: CaseRecord, run: int, position: int) -> dict[str, Any]:
    values = {
        name: storable(value) if isinstance(value, str) else value for name, value in asdict(record).items()
    }
    whole = {name: str(values[name]) for name in _WHOLE_NUMBERS_AS_TEXT}
    return values | whole | {"run": run, "position": position}


def _visit_values(visit: Visit) -> dict[str, Any]:
    return {
        "round": visit.round,
        "samples": to_blob(visit.samples),
        "calls": visit.calls,
        "disturbed": visit.disturbed,
        "verdict": visit.verdict,
        "reason": storable(visit.reason),
        "max_rel_error": visit.max_rel_error,
        "peak_memory": visit.peak_memory,
        "duration": visit.duration,
        "conditions": to_json(visit.conditions),
    }


def _visit(row: Row[Any]) -> Visit:
    return Visit(
        round=row.round,
        samples=from_blob(row.samples),
        calls=row.calls,
        disturbed=row.disturbed,
        verdict=row.verdict,
        reason=row.reason,
        max_rel_error=row.max_rel_error,
        peak_memory=row.peak_memory,
        duration=row.duration,
        conditions=from_json(row.conditions),
    )


def _measurement(row: Row[Any], visits: tuple[Visit, ...]) -> Measurement:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's public name for it
    record = {name: values[name] for name in _RECORD_FIELDS}
    whole = {name: int(record[name]) for name in _WHOLE_NUMBERS_AS_TEXT}
    verdict, reason = (row.verdict, row.reason) if row.verdict else provisional_verdict(visits)
    return Measurement(CaseRecord(**record | whole), visits, verdict, reason)


def _summary(row: Row[Any], cases: int, measured: int, devices: tuple[str, ...]) -> RunSummary:
    machine = from_json(row.environment).get("machine") or {}
    return RunSummary(
        id=row.id,
        name=row.name,
        started=row.started,
        finished=row.finished,
        elapsed=row.elapsed,
        cases=cases,
        measured=measured,
        devices=devices,
        hostname=str(machine.get("hostname", "")),
        fingerprint=str(machine.get("fingerprint", "")),
    )
