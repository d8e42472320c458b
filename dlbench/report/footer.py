"""What stands below the table: what to do about doubtful rows, the run in a line, the columns' meaning."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from dlbench.report.cells import Row, printable
from dlbench.results.measurement import Run
from dlbench.units import format_count, format_duration

REPEATED = 3
"""A reason that more rows than these share is told once, below the table."""
MANY = 0.1
"""Share of doubtful rows from which the reader is told what to do about them."""


def repeated_reasons(table: Sequence[Row]) -> list[tuple[str, str]]:
    """Return the (verdict, reason) pairs that are told once, below the table."""
    counted = Counter((row["verdict"], row["reason"]) for row in table if row["reason"])
    return [pair for pair, count in counted.items() if count > REPEATED]


def print_footer(console: Console, run: Run, table: Sequence[Row], *, stored: str = "") -> None:
    """Print the footer of a run's table."""
    console.print()
    for line in _repeated(table):
        _print(console, line, "")
    for line in _advice(run, table):
        _print(console, line, "yellow")
    for line in (
        _summary(run, table),
        _machine(run),
        f"stored in {stored}" if stored else "",
        _legend(run, table),
    ):
        if line:
            _print(console, line, "dim")


def _repeated(table: Sequence[Row]) -> list[str]:
    counted = Counter((row["verdict"], row["reason"]) for row in table)
    return [f"{counted[pair]} rows are {pair[0]}: {pair[1]}" for pair in repeated_reasons(table)]


def _advice(run: Run, table: Sequence[Row]) -> list[str]:
    """Return what a careful reader would be told before believing the table."""
    verdicts = Counter(row["verdict"] for row in table)
    lines = []
    if not run.finished:
        lines.append("The run has not ended: if it was stopped, `dlbench run CONFIG --resume` goes on.")
    elif verdicts["unconverged"] > MANY * len(table):
        lines.append(
            f"{verdicts['unconverged']} of {len(table)} intervals are wider than asked: "
            "a larger --budget narrows them."
        )
    if verdicts["noisy"] > MANY * len(table):
        lines.append(
            f"{verdicts['noisy']} of {len(table)} rows are noisy: end other programs and measure again."
        )
    rated = any(row["gflops"] is not None or row["gbps"] is not None for row in table)
    if rated and all(row["peak_pct"] is None for row in table):
        lines.append(
            "The share of the measured peak is unknown: `dlbench run peaks` measures this machine's peaks."
        )
    return lines


def _summary(run: Run, table: Sequence[Row]) -> str:
    verdicts = Counter(row["verdict"] for row in table)
    told = ", ".join(f"{count} {verdict}" for verdict, count in verdicts.most_common())
    samples = sum(row["samples"] for row in table)
    rounds = max((row["rounds"] for row in table), default=0)
    parts = [
        f"run {run.id}",
        f"{format_duration(run.elapsed)} of measuring" if run.elapsed else "",
        f"{format_count(len(table))} cases ({told})" if told else "no cases",
        f"{format_count(samples)} samples in {rounds} round{'' if rounds == 1 else 's'}",
    ]
    return " · ".join(part for part in parts if part)


def _machine(run: Run) -> str:
    machine = run.environment.get("machine") or {}
    devices = [f"{device.get('name')} {device.get('model')}" for device in machine.get("devices") or ()]
    threads = run.environment.get("threads")
    return " · ".join(
        [*devices, *([f"{threads} threads"] if threads else []), *filter(None, [machine.get("hostname")])]
    )


def _legend(run: Run, table: Sequence[Row]) -> str:
    baselines = sorted({m.case.baseline for m in run.measurements if m.case.baseline})
    over = f"over {' or '.join(baselines)}, " if baselines else ""
    on_cpu = any(row["device"] == "cpu" for row in table)
    time = "5 % quantile of the samples" if on_cpu else "median of the samples"
    return (
        f"▸ fastest · ≈ not told apart from it · time: {time} ± half its 95 % interval · "
        f"speedup: {over}from paired rounds · peak: share of the measured roof · GB/s: compulsory bytes · "
        "MiB: most memory at once · error: largest, over the reference's root mean square"
    )


def _print(console: Console, line: str, style: str) -> None:
    for part in textwrap.wrap(printable(line), console.width, break_long_words=False, break_on_hyphens=False):
        console.print(Text(part, style=style), highlight=False)
