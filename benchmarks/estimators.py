"""Which quantile of how many rounds repeats best: the experiment behind dlbench's headline.

Takes the exports that `repeatability.py --keep FOLDER` leaves, one of each separate invocation, and prints for every
number of rounds and every quantile of the pooled samples the coefficient of variation between invocations, the median over
the problems. Without a folder it makes the invocations itself. Each estimator sees the first rounds of the same invocations.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from _machine import name
from repeatability import INVOCATIONS, dlbench_times

from dlbench.results import formats
from dlbench.statistics import LOW_QUANTILE

BUDGET = 30.0
"""Seconds of an invocation."""
QUANTILES = (0.0, 0.01, 0.05, 0.10, 0.25, 0.50)
ROUNDS = (1, 2, 3, 4, 6, 8, 10)

Samples = dict[str, list[tuple[float, ...]]]


def samples_of(path: Path) -> Samples:
    """Return one invocation's samples by problem and round."""
    return {one.case.problem: list(one.rounds) for one in formats.read(path).measurements}


def variation(invocations: list[Samples], rounds: int, quantile: float) -> float:
    """Return the coefficient of variation between invocations, the median over the problems."""
    spreads = []
    for problem in invocations[0]:
        times = [
            np.quantile(np.concatenate(one[problem][:rounds]), quantile)
            for one in invocations
            if len(one[problem]) >= rounds
        ]
        spreads.append(np.std(times, ddof=1) / np.mean(times) if len(times) > 1 else np.nan)
    return float(np.nanmedian(spreads))


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    chosen = parser.parse_args()
    print(name())
    with tempfile.TemporaryDirectory() as scratch:
        folder = chosen.folder or Path(scratch)
        if chosen.folder is None:
            for turn in range(INVOCATIONS):
                dlbench_times(folder / f"{turn}.json", BUDGET)
        invocations = [samples_of(path) for path in sorted(folder.glob("*.json"))]
    fewest = min(len(rounds) for one in invocations for rounds in one.values())
    print(f"{len(invocations)} invocations; coefficient of variation between them, median over the problems")
    print("rounds" + "".join(f"{_called(quantile):>10}" for quantile in QUANTILES))
    for rounds in (count for count in ROUNDS if count <= fewest):
        found = [variation(invocations, rounds, quantile) for quantile in QUANTILES]
        print(f"{rounds:6}" + "".join(f"{spread:10.2%}" for spread in found))
    print(f"dlbench's headline is the {LOW_QUANTILE:.0%} quantile")
    return 0


def _called(quantile: float) -> str:
    return {0.0: "minimum", 0.5: "median"}.get(quantile, f"{quantile:.0%}")


if __name__ == "__main__":
    sys.exit(main())
