"""The rows of a comparison and what their rounds say, all rows at once.

Cases of one key on one side are a cell: usually one case, several where runs were pooled. A row is a cell of another
side with the base's cell of the same key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from dlbench.analysis.sides import Integers, Pool
from dlbench.results.digest import Digest
from dlbench.results.measurement import FAILURES
from dlbench.statistics.comparison import (
    Booleans,
    Estimates,
    Floats,
    Moments,
    Part,
    moments,
    paired,
    weighted_sum,
    welch,
)
from dlbench.statistics.intervals import LOW_QUANTILE, Interval, headline_quantile

MIN_ROUNDS = 4
"""Rounds a side, or shared ones, for a verdict: three against three cannot tell a difference from luck."""
NOTED = ("noisy", "throttled", "suspect")
"""Verdicts of a case that has a time, but one to be looked at."""


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells, sorted by key and side.

    `of` is for each case the number of its cell; `first` is a case of the cell that worked, or any where none did;
    `failed` is whether none did; `noted` is a case with a time but a verdict to be looked at, -1 without one.
    """

    of: Integers
    key: Integers
    side: Integers
    first: Integers
    failed: Booleans
    noted: Integers

    def by_key(self, side: int) -> Integers:
        """Return for each key the number of that side's cell, -1 where it has none."""
        found = np.full(int(self.key.max(initial=-1)) + 1, -1, dtype=np.int64)
        mine = np.flatnonzero(self.side == side)
        found[self.key[mine]] = mine
        return found


@dataclass(frozen=True, slots=True)
class Rows:
    """For each row its two cells, the other side's number, and what the rounds say.

    `estimates` are logs, NaN where a side has no time. `before` and `after` are the logs of the seconds on the base and on
    the other side, of shared rounds only where the row is `paired`. `parts` are what a mean ratio is made of.
    """

    base: Integers
    other: Integers
    side: Integers
    estimates: Estimates
    before: Moments
    after: Moments
    paired: Booleans
    parts: tuple[RowPart, ...]

    @property
    def timed(self) -> Booleans:
        """Which rows have a ratio."""
        return np.isfinite(self.estimates.value)

    @property
    def enough(self) -> Booleans:
        """Which rows have enough rounds for a verdict."""
        return self.timed & (np.minimum(self.before.count, self.after.count) >= MIN_ROUNDS)

    def mean(self, chosen: Booleans) -> Interval:
        """Return the geometric mean of the chosen rows' ratios, at least one, with its 95 % interval."""
        count = int(chosen.sum())
        value = float(self.estimates.value[chosen].mean())
        parts = []
        for part in self.parts:
            mine = chosen[part.row]
            parts.append(Part(part.unit[mine], 1 / (count * part.size[mine]), part.residual[mine]))
        low, high = weighted_sum(value, parts)
        return Interval(*exp(np.array([value, low, high])).tolist())


class RowPart(NamedTuple):
    """Observations of rows: the round of each, how many its row has on its side, and the residual from their mean."""

    row: Integers
    unit: Integers
    size: Integers
    residual: Floats


@dataclass(frozen=True, slots=True)
class _Observations:
    """The logs of the headline quantile and of the median by cell and round; `unit` numbers the rounds of all sessions.

    They are sorted by cell and unit. `turns` has a column for each turn of a round, the log of the turn's own headline
    quantile, NaN where it is not known.
    """

    cell: Integers
    unit: Integers
    value: Floats
    middle: Floats
    turns: Floats


def cells_of(pool: Pool) -> Cells:
    """Return the cells of the pooled cases."""
    failed, noted = (_is(pool, verdicts) for verdicts in (FAILURES, NOTED))
    codes, first, of = np.unique(
        pool.key * len(pool.sides) + pool.side, return_index=True, return_inverse=True
    )
    worked, looked_at = (np.full(codes.size, -1, dtype=np.int64) for _ in range(2))
    for chosen, case in ((~failed, worked), (noted, looked_at)):
        which = np.flatnonzero(chosen)[::-1]  # so that the first case is entered last
        case[of[which]] = which
    key, side = np.divmod(codes, len(pool.sides))
    return Cells(of, key, side, np.where(worked < 0, first, worked), worked < 0, looked_at)


def _is(pool: Pool, verdicts: Sequence[str] | frozenset[str]) -> Booleans:
    return pool.cases["verdict"].isin(list(verdicts)).to_numpy(dtype=np.bool_)


def rows_of(pool: Pool, cells: Cells, digests: Sequence[Digest]) -> Rows:
    """Return a row for every cell of another side whose key the base has too."""
    observed = _observations(pool, cells, digests)
    base_of = cells.by_key(0)
    other = np.flatnonzero((cells.side > 0) & (base_of[cells.key] >= 0))
    base = base_of[cells.key[other]]
    whole = moments(observed.cell, observed.value, cells.key.size)
    row, mine, theirs = _shared(base, other, cells, observed)
    log_ratio = _in_turn(observed, mine, theirs)
    pairs = moments(row, log_ratio, other.size)
    in_turn = pairs.count > 0
    together = zip(paired(pairs), welch(whole.take(base), whole.take(other)), strict=True)
    before, after = (
        moments(row, observed.middle[which], other.size).where(in_turn, whole.take(cell))
        for which, cell in ((theirs, base), (mine, other))
    )
    parts = (
        RowPart(row, observed.unit[mine], pairs.count[row].astype(np.int64), log_ratio - pairs.mean[row]),
        _separate(~in_turn, base, whole, observed),
        _separate(~in_turn, other, whole, observed),
    )
    return Rows(
        base,
        other,
        cells.side[other],
        Estimates(*(np.where(in_turn, pair, apart) for pair, apart in together)),
        before,
        after,
        in_turn,
        parts,
    )


def _in_turn(observed: _Observations, base: Integers, other: Integers) -> Floats:
    """Return the log ratio that a round of one side has over the same round of another.

    It is the median over the turns of the ratios of their headline quantiles: turns that follow one another within hundredths
    of a second meet the same spell of the machine. Where the turns are not known, it is the ratio of the rounds' medians.
    """
    by_turn = observed.turns[other] - observed.turns[base]
    known = np.isfinite(by_turn).any(axis=1)
    log_ratio = observed.middle[other] - observed.middle[base]
    log_ratio[known] = np.nanmedian(by_turn[known], axis=1)
    return log_ratio


def _observations(pool: Pool, cells: Cells, digests: Sequence[Digest]) -> _Observations:
    tables = [digest.rounds for digest in digests]
    starts = np.cumsum([0, *(len(digest.cases) for digest in digests)])
    case = np.concatenate([table["case"].to_numpy() + starts[number] for number, table in enumerate(tables)])
    kept = ~_is(pool, FAILURES)[case]
    case = case[kept]
    number, low, median = (
        np.concatenate([table[name].to_numpy() for table in tables])[kept]
        for name in ("round", "low", "median")
    )
    middle = np.log(median)
    value = np.where(_at_low(pool, case), np.log(low), middle)
    span = int(number.max(initial=0)) + 1
    when = pool.session[pool.run[case]] * span + number
    known, unit = np.unique(when, return_inverse=True)
    units = int(unit.max(initial=0)) + 1
    # A round in which several cases of a cell were measured, as of runs that took turns, is one observation.
    both, which = np.unique(cells.of[case] * units + unit, return_inverse=True)
    cell, unit = np.divmod(both, units)
    count = np.bincount(which, minlength=both.size)
    value, middle = (np.bincount(which, logs, minlength=both.size) / count for logs in (value, middle))
    return _Observations(cell, unit, value, middle, _turns_of(pool, cells, digests, span, known, both))


def _at_low(pool: Pool, case: Integers) -> Booleans:
    """Return which of these cases are headlined by the low quantile: those on a CPU."""
    codes, devices = pd.factorize(pool.cases["device"])
    at_low = np.array([headline_quantile(str(device)) == LOW_QUANTILE for device in devices], dtype=np.bool_)
    chosen: Booleans = at_low[codes[case]]
    return chosen


def _turns_of(
    pool: Pool, cells: Cells, digests: Sequence[Digest], span: int, known: Integers, both: Integers
) -> Floats:
    """Return the log of each turn's headline quantile, a line an observation; `both` is its cell and unit in one number."""
    tables = [digest.turns for digest in digests]
    starts = np.cumsum([0, *(len(digest.cases) for digest in digests)])
    case = np.concatenate([table["case"].to_numpy() + starts[number] for number, table in enumerate(tables)])
    number, turn, low, median = (
        np.concatenate([table[name].to_numpy() for table in tables])
        for name in ("round", "turn", "low", "median")
    )
    value = np.log(np.where(_at_low(pool, case), low, median))
    moment = pool.session[pool.run[case]] * span + number
    unit = np.minimum(np.searchsorted(known, moment), max(known.size - 1, 0))
    code = cells.of[case] * known.size + unit
    line = np.minimum(np.searchsorted(both, code), max(both.size - 1, 0))
    hit = (both[line] == code) & (known[unit] == moment) if both.size else np.zeros(code.size, np.bool_)
    columns = int(turn.max(initial=-1)) + 1
    place = line[hit] * columns + turn[hit]
    size = both.size * columns
    with np.errstate(invalid="ignore"):
        mean = np.bincount(place, value[hit], minlength=size) / np.bincount(place, minlength=size)
    return mean.reshape(both.size, columns)


def _shared(
    base: Integers, other: Integers, cells: Cells, observed: _Observations
) -> tuple[Integers, Integers, Integers]:
    """Return for each round that both sides of a row have: the row, the other's observation and the base's."""
    units = int(observed.unit.max(initial=0)) + 1
    row_of = np.full(cells.key.size, -1, dtype=np.int64)
    row_of[other] = np.arange(other.size)
    mine = np.flatnonzero(row_of[observed.cell] >= 0)
    row = row_of[observed.cell[mine]]
    codes = observed.cell * units + observed.unit
    wanted = base[row] * units + observed.unit[mine]
    theirs = np.minimum(np.searchsorted(codes, wanted), max(codes.size - 1, 0))
    hit = codes[theirs] == wanted
    return row[hit], mine[hit], theirs[hit]


def _separate(chosen: Booleans, cell: Integers, whole: Moments, observed: _Observations) -> RowPart:
    """Return all observations of the chosen rows' cells; the base's serve several rows where there are several others."""
    wanted = np.flatnonzero(chosen)
    sizes = whole.count[cell[wanted]]
    starts = np.searchsorted(observed.cell, cell[wanted]) - (np.cumsum(sizes) - sizes)
    row = np.repeat(wanted, sizes)
    index = np.arange(row.size) + np.repeat(starts, sizes)
    residual = observed.value[index] - whole.mean[observed.cell[index]]
    return RowPart(row, observed.unit[index], whole.count[observed.cell[index]].astype(np.int64), residual)


def exp(logs: Floats) -> Floats:
    """Return e to the power of each; of an endless interval, infinity."""
    with np.errstate(over="ignore"):
        return np.exp(logs)
