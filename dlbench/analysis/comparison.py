"""Compare runs: a ratio with its interval and a verdict for every case that both have.

The unit is the round in its own process: each gives one value of each case, its headline quantile. Rounds of separate
runs are compared by Welch's t on their logs; rounds of one session, which were sampled in turn, pair by pair. A row is
`faster` or `slower` only if it is significant among all rows (Benjamini-Hochberg), its interval excludes 1, and the change
exceeds the noise floor. Everything is computed for all rows at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from dlbench.analysis.differences import differences
from dlbench.analysis.floor import Floors
from dlbench.analysis.ratios import MIN_ROUNDS, Cells, Rows, cells_of, exp, rows_of
from dlbench.analysis.sides import PIVOTED, Integers, Pool, Side, arrange
from dlbench.analysis.table import DTYPES
from dlbench.analysis.verdicts import Judged, both_counts, judge
from dlbench.results import formats
from dlbench.results.compared import COMPARED
from dlbench.results.digest import Digest

_COPIED = (
    "op", "problem", "dtype", "direction", "cache", "backend", "variant", "device", "suite", "layer", "data",
    "layout", "flags",
)  # fmt: skip
"""What is told of a case."""
_UNDER_TEST: Mapping[str, tuple[str, ...]] = {"device": ("device", "machine", "driver")}
"""The kinds of difference that are no surprise where that is what is compared."""
_MICRO = 1e6


@dataclass(frozen=True, slots=True)
class Mean:
    """The geometric mean of one side's ratios with its 95 % interval (NaN of a single round), over so many rows."""

    other: str
    ratio: float
    low: float
    high: float
    rows: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """What a comparison found.

    `sides` begins with the base. `frame` has the columns COMPARED, its rows sorted by what matters. `missing` has the cases
    of one side only: `side`, `not_in` (names) and what the case is. `differences` are lines, by the names of two sides, on
    what else differs between them; `notes` what else a reader should know; `paired` is whether all ratios come from rounds
    taken in turn.
    """

    by: str
    sides: tuple[Side, ...]
    frame: pd.DataFrame
    means: tuple[Mean, ...]
    missing: pd.DataFrame
    differences: Mapping[tuple[str, str], tuple[str, ...]]
    notes: tuple[str, ...]
    paired: bool
    floors: Floors

    @property
    def base(self) -> str:
        """What the others are compared with."""
        return self.sides[0].name

    @property
    def others(self) -> tuple[str, ...]:
        """What is compared."""
        return tuple(side.name for side in self.sides[1:])

    def label(self, name: str) -> str:
        """Return the short name of a side."""
        return next(side.label for side in self.sides if side.name == name)

    def head(self) -> dict[str, Any]:
        """Return all but the rows as JSON-able values."""
        return {
            "by": self.by,
            "base": self.base,
            "others": self.others,
            "runs": {side.name: [run.id for run in side.runs] for side in self.sides},
            "means": [asdict(mean) for mean in self.means],
            "differences": [{"between": names, "lines": lines} for names, lines in self.differences.items()],
            "notes": self.notes,
            "missing": self.missing.to_dict("records"),
        }

    def write(self, *paths: str | Path) -> None:
        """Write the table to files, the format by ending: .csv .json .md.

        Raises UserError for an unknown ending or a place that cannot be written.
        """
        for path in paths:
            formats.write_comparison(path, self.frame, self.head())


def compare(
    digests: Sequence[Digest], *, by: str = "", floors: Floors | None = None, names: Sequence[str] = ()
) -> Comparison:
    """Return how the other sides stand against the base.

    Without `by` every run is a side and the first the base; `names` are what the runs are called, their ids by default.
    With `by` (device, backend, variant or dtype) the runs' cases are pooled and every value of that field is a side.
    Raises SelectionError or UserError where there is nothing to compare.
    """
    floors = floors or Floors()
    pool = arrange(digests, by, names)
    cells = cells_of(pool)
    rows = rows_of(pool, cells, digests)
    judged = judge(pool, cells, rows, floors)
    return Comparison(
        by=by,
        sides=pool.sides,
        frame=_frame(pool, cells, rows, judged, by),
        means=_means(pool, rows),
        missing=_missing(pool, cells),
        differences=_differences(pool.sides, by),
        notes=_notes(pool, rows),
        paired=bool(rows.timed.any() and rows.paired[rows.timed].all()),
        floors=floors,
    )


def _frame(pool: Pool, cells: Cells, rows: Rows, judged: Judged, by: str) -> pd.DataFrame:
    order = judged.order
    first, second = (
        pool.cases.iloc[cells.first[which[order]]].reset_index(drop=True) for which in (rows.base, rows.other)
    )
    names = np.array([side.name for side in pool.sides], dtype=object)
    base, other = (
        pd.Series(names[side], dtype="string") for side in (rows.side[order] * 0, rows.side[order])
    )
    texts = {name: first[name].astype("string") for name in _COPIED}
    for name in PIVOTED[by]:
        before, after = (base, other) if name == "device" else (first[name], second[name])
        before, after = (text.where(text != "", "none") for text in (before, after))
        texts[name] = before.where(before == after, before + " → " + after)
    ratio, low, high = (exp(numbers) for numbers in rows.estimates[:3])
    numbers = {
        "ratio": ratio,
        "ratio_low": low,
        "ratio_high": high,
        "verdict": judged.verdict,
        "reason": judged.reason,
        "base_us": exp(rows.before.mean) * _MICRO,
        "other_us": exp(rows.after.mean) * _MICRO,
        "base_rounds": rows.before.count,
        "other_rounds": rows.after.count,
        "floor": np.where(rows.timed, judged.floor, np.nan),
    }
    cells_by_name = {**texts, "base": base, "other": other}
    for name, which in (("base_verdict", rows.base), ("other_verdict", rows.other)):
        told = np.where(cells.noted[which] >= 0, cells.noted[which], cells.first[which])
        cells_by_name[name] = pool.cases["verdict"].iloc[told[order]].reset_index(drop=True)
    cells_by_name |= {name: pd.Series(values[order]) for name, values in numbers.items()}
    return pd.DataFrame(
        {column.name: pd.Series(cells_by_name[column.name], dtype=DTYPES[column.kind]) for column in COMPARED}
    )


def _means(pool: Pool, rows: Rows) -> tuple[Mean, ...]:
    means = []
    for number, side in enumerate(pool.sides):
        chosen = rows.timed & (rows.side == number)
        if number and chosen.any():
            means.append(Mean(side.name, *rows.mean(chosen), int(chosen.sum())))
    return tuple(means)


def _missing(pool: Pool, cells: Cells) -> pd.DataFrame:
    """Return the cases that the base has and another side has not, and the other way round."""
    base_of = cells.by_key(0)
    parts = []
    for number in range(1, len(pool.sides)):
        other_of = cells.by_key(number)
        parts += [
            _one_sided(pool, cells, base_of[(base_of >= 0) & (other_of < 0)], not_in=number),
            _one_sided(pool, cells, other_of[(base_of < 0) & (other_of >= 0)], not_in=0),
        ]
    return pd.concat(parts, ignore_index=True)


def _one_sided(pool: Pool, cells: Cells, which: Integers, *, not_in: int) -> pd.DataFrame:
    names = np.array([side.name for side in pool.sides], dtype=object)
    found = pool.cases.iloc[np.sort(cells.first[which])][list(_COPIED)].reset_index(drop=True)
    found.insert(0, "side", names[cells.side[which]])
    found.insert(1, "not_in", pool.sides[not_in].name)
    return found


def _differences(sides: Sequence[Side], by: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """Return what the runs of two sides differ in besides; nothing where both sides come from the same runs."""
    base = sides[0]
    told = {}
    for side in sides[1:]:
        if {run.id for run in base.runs} == {run.id for run in side.runs}:
            continue
        lines = [
            str(difference)
            for one in base.runs
            for another in side.runs
            if one.id != another.id
            for difference in differences(one, another, ignoring=_UNDER_TEST.get(by, ()))
        ]
        if lines:
            told[base.name, side.name] = tuple(dict.fromkeys(lines))
    return told


def _notes(pool: Pool, rows: Rows) -> tuple[str, ...]:
    notes = [f"{run.id} is unfinished" for side in pool.sides for run in side.runs if not run.finished]
    if rows.timed.any() and not rows.enough.any():
        fewest = np.where(rows.timed, np.minimum(rows.before.count, rows.after.count), -1)
        notes.append(
            f"no row has enough rounds for a verdict: at least {MIN_ROUNDS} ({both_counts(rows, int(fewest.argmax()))} "
            f"here); `dlbench run CONFIG --set measure.rounds.min={MIN_ROUNDS}` measures more"
        )
    return tuple(dict.fromkeys(notes))
