"""Whether a comparison lets a change pass, for continuous integration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlbench.analysis.comparison import Comparison
from dlbench.analysis.ratios import MIN_ROUNDS
from dlbench.analysis.verdicts import percent
from dlbench.results.measurement import FAILURES

FINE, REGRESSION, INCONCLUSIVE = 0, 1, 3
"""Exit statuses; 2 is an error, as everywhere."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The exit status, and why in one line."""

    status: int
    line: str


def find_regression(comparison: Comparison, share: float) -> Finding:
    """Return whether a case takes longer than on the base by more than that share of its time, or fails.

    A row regressed if it is `slower` by more than the share, or worked on the base and failed. It cannot be told of a
    row with too few rounds, or an inconclusive one whose interval reaches beyond the share.
    """
    frame, limit = comparison.frame, 1 + share
    ratio, low = (frame[name].to_numpy(dtype=np.float64) for name in ("ratio", "ratio_low"))
    verdict = frame["verdict"].to_numpy(dtype=object)
    slower = (verdict == "slower") & (ratio * limit < 1)
    before, after = (frame[name].isin(FAILURES).to_numpy() for name in ("base_verdict", "other_verdict"))
    broken = after & ~before
    if slower.any() or broken.any():
        counts = [
            f"{_rows(int(slower.sum()))} slower by more than {percent(share)}" if slower.any() else "",
            f"{_rows(int(broken.sum()))} failed" if broken.any() else "",
        ]
        return Finding(REGRESSION, f"regression: {' and '.join(filter(None, counts))}")
    rounds = [frame[name].to_numpy(dtype=np.int64) for name in ("base_rounds", "other_rounds")]
    told = (np.minimum(*rounds) >= MIN_ROUNDS) & (low * limit >= 1)
    open_ = ~before & (verdict == "inconclusive") & ~told
    if open_.any():
        return Finding(
            INCONCLUSIVE,
            f"inconclusive: {_rows(int(open_.sum()))} may be slower by more than {percent(share)}; more rounds would tell",
        )
    floor = frame["floor"].max()
    hidden = f"; changes below the noise floor of {percent(floor)} do not count" if floor > share else ""
    return Finding(FINE, f"fine: no row is slower by more than {percent(share)}{hidden}")


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
