"""The Digest: a run as a comparison needs it, small enough that two of 100,000 cases fit side by side."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, field, fields, replace
from itertools import chain, groupby, islice
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, Select, select

from dlbench.results.codec import from_blob, from_json, provisional_verdict, to_blob
from dlbench.results.measurement import INTERLEAVED, TURNS, CaseRecord, Run, Verdict, Visit
from dlbench.results.schema import CASES, VISITS
from dlbench.statistics import LOW_QUANTILE

if TYPE_CHECKING:
    import pandas as pd

AT_ONCE = 4096
"""Rows read at a time: enough that the loops over them run in numpy, and some megabytes of samples at most
where a visit has hundreds."""
MEDIAN = 0.5
_SAMPLE_BYTES = 8
_Dtype = Literal["string[pyarrow]", "int64", "object"]
_TEXT: Literal["string[pyarrow]"] = "string[pyarrow]"
_DTYPES: dict[str, _Dtype] = {"str": _TEXT, "int": "int64"}
"""pandas' type for each of a record's: Arrow's text takes less memory than Python's, and two digests' columns
merge and compare as any text does, which categories with different words do not."""
_WHOLE_NUMBERS: dict[str, _Dtype] = {"flops": "object", "traffic": "object"}
"""Python's own integers: a product of extents may pass 64 bits."""
_COLUMNS = (
    {one.name: _DTYPES[str(one.type)] for one in fields(CaseRecord)}
    | _WHOLE_NUMBERS
    | {"verdict": _TEXT, "reason": _TEXT}
)
_Verdicts = dict[int, tuple[Verdict, str]]


@dataclass(frozen=True)
class Digest:
    """A run as a comparison needs it: its cases, and one value a round in the place of the raw samples.

    `run` has no measurements. `cases` has a row for each case in the run's order: the fields of CaseRecord, `verdict` and
    `reason`. `rounds` has a row for each visit that has samples, by case and round: `case` (the row number in `cases`),
    `round`, `low` (LOW_QUANTILE of that round's samples, seconds), `median` (seconds), `samples` (how many). `turns` has a
    row for each turn of a round, `case`, `round`, `turn`, `low`, `median` (seconds), where the run shared its session.
    """

    run: Run
    cases: pd.DataFrame
    rounds: pd.DataFrame
    turns: pd.DataFrame = field(default_factory=lambda: _turns(()))


class _Visits(NamedTuple):
    """Some visits, column by column."""

    case: NDArray[np.int64]
    round: NDArray[np.int64]
    low: NDArray[np.float64]
    median: NDArray[np.float64]
    samples: NDArray[np.int64]


def digest_of(run: Run) -> Digest:
    """Return the digest of a run that holds its measurements, as a file gives it."""
    measurements = run.measurements
    rows = ((*astuple(m.case), m.verdict, m.reason) for m in measurements)
    cases = _frame(map(_columns, _parts(rows)))
    visited = [(row, visit) for row, m in enumerate(measurements) for visit in m.visits]
    taken = ((row, visit.round, to_blob(visit.samples)) for row, visit in visited)
    rounds = _rounds(_visits(*_columns(part)) for part in _parts(taken))
    shared = visited if _shared_session(run) else []
    turns = _turns(
        (row, visit.round, np.array(visit.samples), visit.conditions.get(TURNS)) for row, visit in shared
    )
    return Digest(replace(run, measurements=()), cases, rounds, turns)


def read_digest(connection: Connection, header: Run, number: int) -> Digest:
    """Return the digest of the run with that number in the store; `header` is all but its measurements.

    Raises ValueError for samples that are no whole numbers of float64.
    """
    numbers: list[int] = []
    with _no_collections():
        cases = _frame(_records(connection, number, numbers))
        rounds = _rounds(_visits_of(connection, number, numbers))
        shared = _with_conditions(connection, number, numbers) if _shared_session(header) else ()
        return Digest(header, cases, rounds, _turns(shared))


def _shared_session(run: Run) -> bool:
    """Return whether the run took turns with others, so that its turns can be compared with theirs."""
    return (run.environment.get("session") or {}).get("kind") == INTERLEAVED


@contextmanager
def _no_collections() -> Iterator[None]:
    """Hold the garbage collector off: it would go through row after row, in which there are no cycles."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _fetched(connection: Connection, query: Select[Any]) -> Iterator[Sequence[Row[Any]]]:
    """Yield the query's rows, some at a time also where the driver would rather fetch them all first."""
    streams = connection.dialect.supports_server_side_cursors
    rows = connection.execute(query.execution_options(stream_results=streams, max_row_buffer=AT_ONCE))
    return rows.partitions(AT_ONCE)


def _parts(rows: Iterable[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    rows = iter(rows)
    while part := list(islice(rows, AT_ONCE)):
        yield part


def _columns(part: Sequence[Sequence[Any]]) -> list[list[Any]]:
    """Return the rows, one at least, column by column; `zip` would ask each of SQL's rows for an iterator."""
    return [list(map(itemgetter(index), part)) for index in range(len(part[0]))]


def _records(connection: Connection, run: int, numbers: list[int]) -> Iterator[list[list[Any]]]:
    """Yield the columns of the frame for some cases at a time; their numbers in the store are added to `numbers`."""
    verdicts = _provisional_verdicts(connection, run)
    query = select(*(CASES.c[name] for name in _COLUMNS), CASES.c.number).where(CASES.c.run == run)
    for part in _fetched(connection, query.order_by(CASES.c.position)):
        *columns, known = _columns(part)
        numbers += known
        named = dict(zip(_COLUMNS, columns, strict=True))
        named |= {name: list(map(int, named[name])) for name in _WHOLE_NUMBERS}
        for index in [index for index, verdict in enumerate(named["verdict"]) if not verdict]:
            outcome = verdicts.get(known[index]) or provisional_verdict(())
            named["verdict"][index], named["reason"][index] = outcome
        yield list(named.values())


def _provisional_verdicts(connection: Connection, run: int) -> _Verdicts:
    """Return the verdict and reason of each visited case that the runner has not concluded, by its number."""
    columns = VISITS.c.case, VISITS.c.round, VISITS.c.verdict, VISITS.c.reason
    query = (
        select(*columns, (VISITS.c.samples != b"").label("sampled"))
        .join(CASES, VISITS.c.case == CASES.c.number)
        .where(CASES.c.run == run, CASES.c.verdict.is_(None))
        .order_by(VISITS.c.case, VISITS.c.round)
    )
    rows = chain.from_iterable(_fetched(connection, query))
    return {
        case: provisional_verdict(tuple(map(_outcome, visits)))
        for case, visits in groupby(rows, attrgetter("case"))
    }


def _outcome(row: Row[Any]) -> Visit:
    """Return the visit as far as a verdict asks: of its samples, whether there are any."""
    samples = (0.0,) if row.sampled else ()
    return Visit(row.round, samples, verdict=row.verdict, reason=row.reason)


def _visits_of(connection: Connection, run: int, numbers: Sequence[int]) -> Iterator[_Visits]:
    """Yield the run's visits; `numbers` are its cases' in the store, in the run's order."""
    known = np.array(numbers, dtype=np.int64)
    order = np.argsort(known)
    query = (
        select(VISITS.c.case, VISITS.c.round, VISITS.c.samples)
        .join(CASES, VISITS.c.case == CASES.c.number)
        .where(CASES.c.run == run)
    )
    for part in _fetched(connection, query):
        cases, rounds, blobs = _columns(part)
        rows = order[np.searchsorted(known, cases, sorter=order)]
        yield _visits(rows, rounds, blobs)


def _with_conditions(
    connection: Connection, run: int, numbers: Sequence[int]
) -> Iterator[tuple[int, int, NDArray[np.float64], Any]]:
    """Yield the row, the round, the samples and the sizes of the turns of each of the run's visits."""
    row_of = {number: row for row, number in enumerate(numbers)}
    query = (
        select(VISITS.c.case, VISITS.c.round, VISITS.c.samples, VISITS.c.conditions)
        .join(CASES, VISITS.c.case == CASES.c.number)
        .where(CASES.c.run == run)
    )
    for row in chain.from_iterable(_fetched(connection, query)):
        sizes = from_json(row.conditions).get(TURNS)
        yield row_of[row.case], row.round, np.frombuffer(row.samples, dtype="<f8"), sizes


def _turns(visits: Iterable[tuple[int, int, NDArray[np.float64], Any]]) -> pd.DataFrame:
    """Return the quantiles of each turn; a visit whose turns do not make up its samples, or that has none, is left out."""
    import pandas as pd

    found: list[tuple[int, int, int, float, float]] = []
    for row, number, samples, sizes in visits:
        if not (isinstance(sizes, list | tuple) and samples.size and sum(sizes) == samples.size):
            continue
        parts = np.split(samples, np.cumsum(sizes)[:-1])
        for turn, part in enumerate(parts):
            if part.size:
                low, median = np.quantile(part, (LOW_QUANTILE, MEDIAN))
                found.append((row, number, turn, float(low), float(median)))
    frame = pd.DataFrame(found, columns=["case", "round", "turn", "low", "median"])
    whole, real = (
        dict.fromkeys(("case", "round", "turn"), np.int64),
        dict.fromkeys(("low", "median"), np.float64),
    )
    return frame.astype({**whole, **real}).sort_values(["case", "round", "turn"], ignore_index=True)


def _visits(
    cases: Sequence[int] | NDArray[np.int64], rounds: Sequence[int], blobs: Sequence[bytes]
) -> _Visits:
    """Return the visits that have samples, with their quantiles: those with as many samples in one go."""
    sizes = np.fromiter(map(len, blobs), dtype=np.int64)
    low, median = np.empty(len(blobs)), np.empty(len(blobs))
    for size in np.unique(sizes[sizes > 0]).tolist():
        same = np.flatnonzero(sizes == size)
        samples = _stacked([blobs[index] for index in same.tolist()], size)
        low[same], median[same] = np.quantile(samples, (LOW_QUANTILE, MEDIAN), axis=1)
    kept = sizes > 0
    return _Visits(
        np.asarray(cases, dtype=np.int64)[kept],
        np.asarray(rounds, dtype=np.int64)[kept],
        low[kept],
        median[kept],
        sizes[kept] // _SAMPLE_BYTES,
    )


def _stacked(blobs: Sequence[bytes], size: int) -> NDArray[np.float64]:
    """Return one row of samples for each blob, all of so many bytes."""
    from_blob(blobs[0])  # which refuses a size that is no whole number of samples
    return np.frombuffer(b"".join(blobs), dtype="<f8").reshape(len(blobs), size // _SAMPLE_BYTES)


def _frame(parts: Iterable[list[list[Any]]]) -> pd.DataFrame:
    """Return the frame of cases, its columns given some rows at a time: texts are Python's own only for so long."""
    import pandas as pd

    none: list[list[Any]] = [[] for _ in _COLUMNS]
    frames = []
    for columns in chain([none], parts):
        named = zip(_COLUMNS.items(), columns, strict=True)
        frames.append(pd.DataFrame({name: _array(values, dtype) for (name, dtype), values in named}))
    return pd.concat(frames, ignore_index=True)


def _array(values: list[Any], dtype: _Dtype) -> pd.api.extensions.ExtensionArray:
    import pandas as pd
    import pyarrow as pa

    # Arrow reads a list of texts at once; pandas would look at each of them first.
    return pd.array(pa.array(values, pa.large_string()) if dtype == _TEXT else values, dtype=dtype)


def _rounds(parts: Iterable[_Visits]) -> pd.DataFrame:
    """Return the visits as the frame of rounds."""
    import pandas as pd

    columns = _Visits(*map(np.concatenate, zip(_visits([], [], []), *parts, strict=False)))
    order = np.lexsort((columns.round, columns.case))
    return pd.DataFrame({name: column[order] for name, column in columns._asdict().items()})
