"""Print what a self-test found."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dlbench.report.cells import printable
from dlbench.results.finding import Report

MARKS = {
    "passed": ("✓", "green"),
    "failed": ("✗", "red"),
    "warned": ("!", "yellow"),
    "skipped": ("\N{EN DASH}", "dim"),
}
"""A sign and its colour for each state."""


def print_report(console: Console, report: Report) -> None:
    """Print a line for each check, below it what to do, and how many passed."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("", "backend", "check"):
        table.add_column(name, no_wrap=True)
    table.add_column("what was found", overflow="fold")
    for finding in report.findings:
        mark, style = MARKS[finding.state]
        told = Text(printable(finding.detail))
        if finding.advice:
            told.append(f"\n→ {printable(finding.advice)}")
        table.add_row(
            Text(mark, style=style), Text(printable(finding.backend)), Text(printable(finding.check)), told
        )
    console.print(table)
    console.print(Text(printable(report.summary)))
