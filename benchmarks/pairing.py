"""How to compare two sides of one session: the experiment behind the rule that pairs are compared turn by turn.

Takes the folder that `false_positives.py --keep FOLDER` leaves. For every two equal sides of a session, every problem and
every round, it forms the log ratio of the sides in several ways, and prints its standard deviation over the rounds, the
median over pairs and problems. The true ratio is 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from _machine import name
from numpy.typing import NDArray

from dlbench.results.measurement import TURNS, Run, Visit
from dlbench.results.store import Store
from dlbench.statistics import LOW_QUANTILE

Floats = NDArray[np.float64]


def by_turn(quantile: float) -> Callable[[Visit, Visit], float]:
    """Return the estimator that takes the median over the turns of the ratios of their quantiles."""

    def estimate(first: Visit, second: Visit) -> float:
        pairs = zip(_turns(first), _turns(second), strict=False)
        return float(
            np.median([np.log(np.quantile(a, quantile) / np.quantile(b, quantile)) for a, b in pairs])
        )

    return estimate


def by_round(quantile: float) -> Callable[[Visit, Visit], float]:
    """Return the estimator that takes the ratio of the quantiles of all samples of the round."""
    return lambda first, second: float(
        np.log(np.quantile(first.samples, quantile) / np.quantile(second.samples, quantile))
    )


ESTIMATORS = {
    f"{LOW_QUANTILE:.0%} quantiles of the rounds": by_round(LOW_QUANTILE),
    "medians of the rounds": by_round(0.5),
    f"median over turns, {LOW_QUANTILE:.0%} quantiles": by_turn(LOW_QUANTILE),
    "median over turns, medians": by_turn(0.5),
}


def _turns(visit: Visit) -> Sequence[Floats]:
    return np.split(np.array(visit.samples), np.cumsum(visit.conditions[TURNS])[:-1])


def pairs_of(path: Path) -> Iterator[tuple[Run, Run]]:
    """Yield every two runs of each session in the store."""
    sessions: dict[str, list[Run]] = {}
    with Store(path) as store:
        for summary in store.runs():
            run = store.load(summary.id)
            sessions.setdefault(run.environment["session"]["id"], []).append(run)
    for runs in sessions.values():
        yield from combinations(runs, 2)


def main() -> int:
    """Print the spread of every estimator, on the idle and on the busy machine."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    print(name())
    for kind in ("equal", "busy"):
        spreads: dict[str, list[float]] = {estimator: [] for estimator in ESTIMATORS}
        for first, second in pairs_of(folder / f"{kind}.db"):
            for one, other in zip(first.measurements, second.measurements, strict=True):
                for estimator, estimate in ESTIMATORS.items():
                    ratios = [estimate(a, b) for a, b in zip(one.visits, other.visits, strict=False)]
                    spreads[estimator].append(float(np.std(ratios, ddof=1)))
        for estimator, found in spreads.items():
            print(f"{kind:6} {estimator:36} {np.median(found):6.1%} between rounds, {len(found)} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
