"""Two stored runs of 100,000 cases, 5 rounds of 20 samples each: what `dlbench compare` takes, in seconds and peak memory.

Goal: within 10 s and 1 GB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import Connection, Table, insert, select

from dlbench.results.measurement import CaseRecord
from dlbench.results.schema import CASES, RUNS, VISITS
from dlbench.results.store import Store

CASE_COUNT, ROUNDS, SAMPLES = 100_000, 5, 20
GOAL_S, GOAL_MB = 10.0, 1000.0
SLOWER = 1.05
"""How many times as long every tenth case takes in the second run."""
NOISE = 0.01
"""Relative spread of the samples, and of the rounds."""
AT_ONCE = 10_000
ENVIRONMENT = {
    "machine": {"hostname": "synthetic", "devices": [{"name": "cpu", "model": "none"}]},
    "threads": 1,
}
CONDITIONS = json.dumps({"load": 0.25, "steal": 0.0, "switches": 3, "spread": 0.011, "temperature": None})


def cases() -> Iterator[CaseRecord]:
    """Yield matrix products of growing size, two variants of each."""
    for number in range(CASE_COUNT):
        m, variant = 16 + number // 2, ("native", "library")[number % 2]
        params = json.dumps({"m": m, "n": 64, "k": 64})
        group = f"matmul|{params}|float32|forward||hot|normal||"
        yield CaseRecord(
            key=f"{group}|torch:{variant}|cpu", group=group, op="matmul", problem=f"matmul {m}×64×64", params=params,
            suite="", layer="", count=1, dtype="float32", direction="forward", layout="", cache="hot", data="normal",
            backend="torch", variant=variant, device="cpu", baseline="torch:native", flops=2 * m * 64 * 64,
            traffic=4 * (m * 64 * 2 + 64 * 64),
        )  # fmt: skip


def visits(number: int, level: float, rng: np.random.Generator) -> Iterator[dict[str, Any]]:
    """Yield the visits of the case with that number: each round has a level of its own, below which no sample lies."""
    levels = level * np.exp(NOISE * rng.standard_normal((ROUNDS, 1)))
    samples = levels * np.exp(NOISE * np.abs(rng.standard_normal((ROUNDS, SAMPLES))))
    for index, taken in enumerate(samples):
        yield {
            "case": number, "round": index + 1, "samples": taken.tobytes(), "calls": 50, "disturbed": 0,
            "verdict": "ok", "reason": "", "max_rel_error": 1e-7, "peak_memory": 2**20, "duration": 0.1,
            "conditions": CONDITIONS,
        }  # fmt: skip


def fill(store: Store, run_id: str, factor: float, seed: int) -> None:
    """Enter a run in bulk; the store's own methods commit every visit. Every tenth case takes `factor` as long."""
    rng = np.random.default_rng(seed)
    store.create_run(run_id, run_id, {"name": run_id}, ENVIRONMENT, f"2026-01-0{seed}T00:00:00+00:00")
    with store._database.writing() as connection:  # noqa: SLF001 - its own benchmark
        run = connection.scalar(select(RUNS.c.number).where(RUNS.c.id == run_id))
        concluded = {"run": run, "verdict": "ok", "reason": ""}
        _insert(
            connection,
            CASES,
            (
                asdict(case)
                | concluded
                | {"position": row, "flops": str(case.flops), "traffic": str(case.traffic)}
                for row, case in enumerate(cases())
            ),
        )
        numbers = select(CASES.c.number).where(CASES.c.run == run).order_by(CASES.c.position)
        levels = 1e-5 * (1 + np.arange(CASE_COUNT) / 1000)
        levels[::10] *= factor
        pairs = zip(connection.scalars(numbers).all(), levels, strict=True)
        _insert(
            connection, VISITS, (visit for number, level in pairs for visit in visits(number, level, rng))
        )
    store.finish_run(run_id, f"2026-01-0{seed}T01:00:00+00:00", 3600.0)


def _insert(connection: Connection, table: Table, rows: Iterable[dict[str, Any]]) -> None:
    rows = iter(rows)
    while batch := list(islice(rows, AT_ONCE)):
        connection.execute(insert(table), batch)


def main() -> int:
    """Print both figures; return 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        address, table = Path(folder) / "runs.db", Path(folder) / "out.csv"
        with Store(address) as store:
            fill(store, "before", 1.0, seed=1)
            fill(store, "after", SLOWER, seed=2)
        command = [sys.executable, "-m", "dlbench", "compare", "before", "after", "-o", str(table)]
        start = time.perf_counter()
        subprocess.run([*command, "--store", str(address)], check=True, stdout=subprocess.DEVNULL)
        seconds = time.perf_counter() - start
        with table.open() as lines:
            rows = sum(1 for _ in lines) - 1
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    from _machine import name  # imports torch: a child's peak memory begins with its parent's

    print(name())
    print(f"two runs of {CASE_COUNT:,} cases, {rows:,} rows: {seconds:.2f} s, {megabytes:.0f} MB")
    return int(seconds > GOAL_S or megabytes > GOAL_MB or rows != CASE_COUNT)


if __name__ == "__main__":
    sys.exit(main())
