"""What the ratios mean: a verdict for each row, its reason, and the order in which a reader should see them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlbench.analysis.floor import Floors
from dlbench.analysis.ratios import MIN_ROUNDS, Cells, Rows, exp
from dlbench.analysis.sides import Integers, Pool
from dlbench.statistics.comparison import FALSE_DISCOVERIES, Booleans, Floats, benjamini_hochberg

MORE_ROUNDS = "more rounds would tell"
"""How the reason of an interval that is too wide ends."""
WAS = " was "
"""Between a side and its verdict where its time is to be looked at."""
ORDER = ("slower", "faster", "broken", "inconclusive", "same", "without a time")
"""What matters most comes first."""

Texts = NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Judged:
    """For each row its verdict and reason, and the noise floor it was held to; and the rows' order."""

    verdict: Texts
    reason: Texts
    floor: Floats
    order: Integers


def judge(pool: Pool, cells: Cells, rows: Rows, floors: Floors) -> Judged:
    """Return the verdicts: `faster` or `slower` what is significant among all rows, excludes 1 and exceeds the floor."""
    value, low, high, p = rows.estimates
    floor = floors.at(np.where(rows.timed, exp(rows.before.mean), 1.0), rows.paired)
    limit = np.log1p(floor)
    enough = rows.enough
    excludes_1 = (low > 0) | (high < 0)
    significant = np.zeros(enough.size, dtype=np.bool_)
    significant[enough] = benjamini_hochberg(p[enough], FALSE_DISCOVERIES)
    significant &= excludes_1
    changed = significant & (np.abs(value) > limit)
    within = enough & (low >= -limit) & (high <= limit)
    small = significant & ~changed & ~within
    verdict = np.select(
        [changed & (value > 0), changed, within | small], ["faster", "slower", "same"], "inconclusive"
    ).astype(object)

    reason = np.full(enough.size, "", dtype=object)
    _fill(reason, ~rows.timed, lambda row: _trouble(pool, cells, rows, row))
    _fill(reason, rows.timed & ~enough, lambda row: _too_few(rows, row))
    _fill(reason, small, lambda row: _below(rows, row, float(floor[row]), floors))
    open_ = enough & (verdict == "inconclusive")
    reason[open_ & excludes_1] = f"not significant among {int(enough.sum()):,} rows (Benjamini-Hochberg)"
    _fill(
        reason, open_ & ~excludes_1, lambda row: f"±{percent(float(high[row] - low[row]) / 2)}: {MORE_ROUNDS}"
    )
    for side in (rows.base, rows.other):
        for row in np.flatnonzero(rows.timed & (cells.noted[side] >= 0)).tolist():
            note = _said(pool, cells.side[side[row]], cells.noted[side[row]], WAS)
            reason[row] = "; ".join(filter(None, (reason[row], note)))
    return Judged(verdict, reason, floor, _order(verdict, cells, rows))


def _fill(reason: Texts, which: Booleans, told: Callable[[int], str]) -> None:
    for row in np.flatnonzero(which).tolist():
        reason[row] = told(row)


def _trouble(pool: Pool, cells: Cells, rows: Rows, row: int) -> str:
    sides = ((rows.base[row], rows.before.count[row]), (rows.other[row], rows.after.count[row]))
    return "; ".join(
        _said(pool, cells.side[cell], cells.first[cell], ": ") for cell, count in sides if not count
    )


def _said(pool: Pool, side: int, case: int, between: str) -> str:
    verdict, reason = pool.cases["verdict"].iloc[case], pool.cases["reason"].iloc[case]
    return f"{pool.sides[side].label}{between}{verdict}" + (f": {reason}" if reason else "")


def _too_few(rows: Rows, row: int) -> str:
    counts = f"{rows.before.count[row]} shared" if rows.paired[row] else both_counts(rows, row)
    return f"too few rounds for a verdict: at least {MIN_ROUNDS} ({counts} here)"


def both_counts(rows: Rows, row: int) -> str:
    """Return how many rounds a row has on each side: "3 and 3"."""
    return f"{rows.before.count[row]} and {rows.after.count[row]}"


def _below(rows: Rows, row: int, floor: float, floors: Floors) -> str:
    whose = "this machine's" if floors.comparisons(interleaved=bool(rows.paired[row])) else "the"
    change = float(np.expm1(np.abs(rows.estimates.value[row])))
    return f"{percent(change)} is below {whose} noise floor of {percent(floor)}"


def _order(verdict: Texts, cells: Cells, rows: Rows) -> Integers:
    """Return the rows' numbers in the order of what matters; of equal kind, the largest change first."""
    before, after = rows.before.count > 0, rows.after.count > 0
    failed = cells.failed[rows.base] | cells.failed[rows.other]
    kind = np.select(
        [(before ^ after) & failed, ~before & ~after], ["broken", "without a time"], verdict.astype(str)
    )
    rank = np.array([ORDER.index(name) for name in kind.tolist()], dtype=np.int64)
    change = np.where(rows.timed, -np.abs(rows.estimates.value), 0.0)
    return np.lexsort((np.arange(rank.size), change, rank))


def percent(share: float) -> str:
    """Return a share as "1.2 %", without a decimal where it is 0 or the number is large."""
    text = f"{100 * share:.1f}" if abs(share) < 0.0995 else f"{100 * share:.0f}"
    return text.removesuffix(".0") + " %"
