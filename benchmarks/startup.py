"""How long the command line takes to answer, and that it imports no framework to do so.

Goal: `dlbench --help` within 0.25 s; `dlbench list configs` without torch, numba or pandas.
"""

from __future__ import annotations

import subprocess
import sys
import time

from _machine import name

from dlbench.statistics import quantile

RUNS = 15
GOAL_S = 0.25
HEAVY = ("torch", "numba", "pandas", "scipy")


def seconds(*arguments: str) -> float:
    """Return how long one run of the command takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dlbench", *arguments], check=True, capture_output=True)
    return time.perf_counter() - start


def imported(*arguments: str) -> list[str]:
    """Return which heavy packages the command imports."""
    command = [sys.executable, "-X", "importtime", "-m", "dlbench", *arguments]
    log = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    modules = {line.rpartition("|")[2].strip() for line in log.splitlines()}
    return [package for package in HEAVY if package in modules]


def main() -> int:
    """Print times and imports; return 1 when a goal is missed."""
    print(name())
    missed = False
    for arguments in (["--help"], ["list", "configs"]):
        runs: list[float] = []
        bare: list[float] = []
        for _ in range(RUNS):
            runs.append(seconds(*arguments))
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", "pass"], check=True)
            bare.append(time.perf_counter() - start)
        heavy = imported(*arguments)
        median = quantile(runs, 0.5)
        ratio = median / quantile(bare, 0.5)
        print(
            f"dlbench {' '.join(arguments)}: {median:.3f} s, {ratio:.1f} × an empty Python; imports {heavy or 'none'}"
        )
        missed |= bool(heavy) or (arguments == ["--help"] and median > GOAL_S)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
