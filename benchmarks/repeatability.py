"""How well separate invocations agree: dlbench beside torch.utils.benchmark and Google Benchmark, on the same twelve calls.

Every invocation is a process of its own that measures all twelve problems and prints one time each, the one its harness
quotes: dlbench's headline, the median of torch.utils.benchmark's `blocked_autorange`, Google Benchmark's real time. The
harnesses take turns, in an order that is reversed each turn. The coefficient of variation between invocations is taken per
problem, and its median over the problems is compared. Goals: at no more wall time than torch.utils.benchmark with
`min_run_time=1`, dlbench's median CV is at most a quarter of each of theirs; and at most 2 % where theirs is 8 % or more.

Needs the extra `bench`. `--keep FOLDER` keeps dlbench's raw samples for estimators.py.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _machine import name
from _twelve import CONFIG, calls

INVOCATIONS = 8
BUDGET_SHARE = 0.95
"""Of what one uncounted invocation of the reference takes, what dlbench may take."""
GOAL_CV, LOUD_CV, GOAL_SHARE = 0.02, 0.08, 0.25
REFERENCE = "torch.utils.benchmark, 1 s"

Times = dict[str, float]


def dlbench_times(export: Path, budget: float) -> Times:
    """Return the headline of every problem in seconds, from the command as a user runs it."""
    options = [
        "--no-peaks",
        "-q",
        "--budget",
        f"{budget:.1f}s",
        "--store",
        str(export.with_suffix(".db")),
        "-o",
        str(export),
    ]
    subprocess.run([sys.executable, "-m", "dlbench", "run", str(CONFIG), *options], check=True)
    rows = json.loads(export.read_text())["rows"]
    return {row["problem"]: row["time_us"] * 1e-6 for row in rows}


def torch_times(min_run_time: float) -> Times:
    """Return the medians of torch.utils.benchmark."""
    import torch
    from torch.utils.benchmark import Timer

    found = {}
    for label, call in calls().items():
        with torch.inference_mode():
            timer = Timer("call()", globals={"call": call}, num_threads=torch.get_num_threads())
            found[label] = timer.blocked_autorange(min_run_time=min_run_time).median
    return found


def google_times() -> Times:
    """Return the real times of Google Benchmark's Python binding with its defaults."""
    import google_benchmark
    import torch

    prepared = calls()
    enter: Any = google_benchmark.register  # it has no annotations

    def register(label: str, call: Callable[[], object]) -> None:
        def run(state: google_benchmark.State) -> None:
            with torch.inference_mode():
                while state:
                    call()

        enter(run, name=label)

    for label, call in prepared.items():
        register(label, call)
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        google_benchmark.initialize(["x", f"--benchmark_out={out.name}", "--benchmark_out_format=json"])
        google_benchmark.run_benchmarks()
        rows = json.loads(Path(out.name).read_text())["benchmarks"]
    units = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0}
    return {row["name"]: row["real_time"] * units[row["time_unit"]] for row in rows}


CONTESTANTS: dict[str, Callable[[], Times]] = {
    "torch.utils.benchmark": lambda: torch_times(0.2),
    REFERENCE: lambda: torch_times(1.0),
    "Google Benchmark": google_times,
}


def invoke(contestant: str, export: Path, budget: float = 0.0) -> tuple[Times, float]:
    """Return one invocation's times, and the seconds that the whole process took."""
    start = time.perf_counter()
    if contestant == "dlbench":
        found = dlbench_times(export, budget)
    else:
        command = [sys.executable, __file__, "--as", contestant]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        found = json.loads(printed.splitlines()[-1])
    return found, time.perf_counter() - start


def variation(times: list[Times]) -> Times:
    """Return the coefficient of variation between invocations, by problem."""
    return {
        label: float(np.std([one[label] for one in times], ddof=1) / np.mean([one[label] for one in times]))
        for label in times[0]
    }


def report(found: dict[str, list[tuple[Times, float]]]) -> int:
    """Print the table; return 1 when a goal is missed."""
    cvs = {who: variation([times for times, _ in pairs]) for who, pairs in found.items()}
    wall = {who: float(np.median([seconds for _, seconds in pairs])) for who, pairs in found.items()}
    middle = {who: float(np.median(list(by_problem.values()))) for who, by_problem in cvs.items()}
    print(f"{'problem':44}" + "".join(f"{who[-16:]:>18}" for who in found))
    for label in next(iter(cvs.values())):
        print(f"{label:44}" + "".join(f"{by_problem[label]:18.2%}" for by_problem in cvs.values()))
    print(f"{'median CV between invocations':44}" + "".join(f"{cv:18.2%}" for cv in middle.values()))
    print(f"{'wall time, s':44}" + "".join(f"{seconds:18.1f}" for seconds in wall.values()))
    others = {who: cv for who, cv in middle.items() if who != "dlbench"}
    share = middle["dlbench"] / min(others.values())
    print(f"dlbench's CV is {share:.2f} of the best of the others (goal {GOAL_SHARE})")
    loud = min(others.values()) >= LOUD_CV
    return int(
        share > GOAL_SHARE or (loud and middle["dlbench"] > GOAL_CV) or wall["dlbench"] > wall[REFERENCE]
    )


def main() -> int:
    """Let the harnesses take turns and print how well each agrees with itself."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--as", dest="contestant", choices=sorted(CONTESTANTS))
    parser.add_argument("--invocations", type=int, default=INVOCATIONS)
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args()
    if chosen.contestant:
        print(json.dumps(CONTESTANTS[chosen.contestant]()))
        return 0
    print(name())
    order = ["dlbench", *CONTESTANTS]
    found: dict[str, list[tuple[Times, float]]] = {who: [] for who in order}
    with tempfile.TemporaryDirectory() as scratch:
        keep = chosen.keep or Path(scratch)
        keep.mkdir(parents=True, exist_ok=True)
        budget = BUDGET_SHARE * invoke(REFERENCE, keep)[1]
        for turn in range(chosen.invocations):
            for who in order if turn % 2 == 0 else order[::-1]:
                found[who].append(invoke(who, keep / f"{turn}.json", budget))
    return report(found)


if __name__ == "__main__":
    sys.exit(main())
