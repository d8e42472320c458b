"""The table on the screen: grouped by problem, the winner marked, totals per network, 100 columns wide."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dlbench.analysis.totals import totals
from dlbench.results.measurement import FAILURES, Run
from dlbench.units import format_duration, significant

GROUP = ["op", "params", "problem", "suite", "layer", "dtype", "direction", "cache", "data"]
COLUMNS = (
    ("variant", "left"), ("time", "right"), ("±", "right"), ("median", "right"), ("GFLOP/s", "right"),
    ("GB/s", "right"), ("% peak", "right"), ("speed-up", "right"), ("MiB", "right"), ("error", "right"), ("verdict", "left"),
)  # fmt: skip
STYLES = {"ok": "green", "noisy": "yellow", "unconverged": "yellow", "suspect": "magenta", "unsupported": "dim"}
WINNER = "►"


def print_table(console: Console, run: Run, table: pd.DataFrame) -> None:
    """Print a run: its cases by problem, the networks' totals, and how it was measured."""
    console.print(_cases(table))
    if (table["suite"] != "").any():
        console.print(_networks(totals(table)))
    _print_reasons(console, table)
    _print_footer(console, run, table)


def _cases(table: pd.DataFrame) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", collapse_padding=True)
    for name, side in COLUMNS:
        grid.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    several = table["device"].nunique() > 1
    for _, group in table.groupby(GROUP, sort=False):
        rows = group.to_dict("records")
        grid.add_row(Text(_heading(rows[0]), style="bold cyan", overflow="ellipsis"))
        best = min((row["time_us"] for row in rows if not pd.isna(row["time_us"])), default=None)
        for row in rows:
            grid.add_row(*_cells(row, winner=len(rows) > 1 and row["time_us"] == best, device=several))
    return _spanning(grid)


def _spanning(grid: Table) -> Table:
    """Let a heading run over the numeric columns: the first column is as wide as the variants, not as the headings."""
    grid.columns[0].overflow = "ignore"
    return grid


def _heading(row: dict[Any, Any]) -> str:
    times = f"{row['count']} × " if row["count"] > 1 else ""
    layer = f"{times}{row['layer']}  " if row["layer"] else ""
    return f"{layer}{row['problem']}  {row['dtype']} {row['direction']} {row['cache']}"


def _cells(row: dict[Any, Any], *, winner: bool, device: bool) -> list[Text]:
    name = f"{row['backend']}:{row['variant']}" + (f" @{row['device']}" if device else "")
    style = "bold" if winner else ""
    verdict = Text(str(row["verdict"]), style=STYLES.get(str(row["verdict"]), "red"))
    if pd.isna(row["time_us"]):
        return [Text(f"  {name}"), *[Text("")] * (len(COLUMNS) - 2), verdict]
    spread = (row["time_high_us"] / row["time_low_us"]) ** 0.5 - 1
    numbers = [
        format_duration(row["time_us"] * 1e-6),
        f"{spread:.0%}" if spread >= 0.1 else f"{spread:.1%}",
        format_duration(row["median_us"] * 1e-6),
        significant(row["gflops"]),
        significant(row["gbps"]),
        _given(row["peak_pct"], "{:.0f}%"),
        _given(row["speedup"], "{}×"),
        _given(row["peak_memory_mib"], "{:.1f}"),
        _given(row["max_rel_error"], "{:.0e}"),
    ]
    return [Text(f"{WINNER if winner else ' '} {name}", style=style), *(Text(cell, style=style) for cell in numbers), verdict]


def _given(value: float, form: str) -> str:
    if pd.isna(value):
        return ""
    return form.format(significant(value) if form == "{}×" else value)


def _networks(found: pd.DataFrame) -> Table:
    grid = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold", title_justify="left")
    grid.title = "Whole networks (each layer as often as it occurs)"
    for name, side in (("network", "left"), ("variant", "left"), ("layers", "right"), ("time", "right"), ("GFLOP/s", "right"), ("speed-up", "right")):
        grid.add_column(name, justify="right" if side == "right" else "left", no_wrap=True)
    for row in found.to_dict("records"):
        name = f"{row['backend']}:{row['variant']}" + ("" if row["device"] == "cpu" else f" @{row['device']}")
        network = f"{row['suite']} {row['dtype']} {row['direction']} {row['cache']}"
        if pd.isna(row["time_us"]):
            cells = [f"{row['missing']} not measured", "", ""]
        else:
            cells = [format_duration(row["time_us"] * 1e-6), significant(row["gflops"]), _given(row["speedup"], "{}×")]
        grid.add_row(escape(network), escape(name), str(row["layers"]), *cells)
    return grid


def _print_reasons(console: Console, table: pd.DataFrame) -> None:
    """Print why rows are not ok, each reason once with the cases that it befell."""
    troubled = table[table["reason"] != ""]
    for (verdict, reason), group in troubled.groupby(["verdict", "reason"], sort=False):
        names = [f"{r['backend']}:{r['variant']} {r['layer'] or r['problem']}" for r in group.to_dict("records")]
        console.print(_line(f"{verdict}: {_shortened(names)}: {reason}"), style=STYLES.get(str(verdict), "red"), highlight=False)


def _shortened(names: Sequence[str], most: int = 2) -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _print_footer(console: Console, run: Run, table: pd.DataFrame) -> None:
    samples, failed = int(table["samples"].sum()), int(table["verdict"].isin(list(FAILURES)).sum())
    tally = ", ".join(f"{count} {verdict}" for verdict, count in table["verdict"].value_counts().items())
    lines = [
        f"run {run.id}: {len(table)} cases ({tally}), {samples:,} samples in {format_duration(max(run.elapsed, 1e-9))}",
        f"{WINNER} fastest right answer · time: low quantile on a CPU, ± half its 95 % interval · error: against float64",
    ]
    if failed == len(table):
        lines.append("nothing could be measured; `dlbench info` tells what is installed")
    for line in lines:
        console.print(_line(line), style="dim", highlight=False)


def _line(text: str) -> Text:
    return Text(text)
