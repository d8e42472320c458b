"""The table on the screen: grouped by problem, then totals per network, then what a reader must know."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from dlbench.analysis.scaling import scalings
from dlbench.analysis.totals import SHARED, totals
from dlbench.report.cells import FIELDS, WANTED, Row, printable, rate, time, variant
from dlbench.report.footer import print_footer, repeated_reasons
from dlbench.report.plans import plan_lines
from dlbench.report.scaling import print_scalings
from dlbench.results.formats.rows import rows
from dlbench.results.measurement import FAILURES, Run
from dlbench.units import format_rough, significant

FASTEST, LEVEL = "▸", "≈"
"""The fastest of a problem, and those whose interval overlaps its own: not told apart."""
HEADING_EVERY = 8
"""Problems between two headings: with four variants each, one is always on a screen of 50 lines."""
STYLES = {
    "ok": "green",
    "noisy": "yellow",
    "unconverged": "yellow",
    "throttled": "yellow",
    "suspect": "magenta",
}
FAILED_STYLE = "red"


def print_table(console: Console, run: Run, frame: pd.DataFrame, *, stored: str = "") -> None:
    """Print a run's table, its totals per network, and a footer.

    `frame` is the run's table, its rows in the order of the run's measurements; `stored` is where the run is
    kept.
    """
    table = rows(frame)
    columns = _fitting(table, console.width)
    told_below = repeated_reasons(table)
    problems: dict[str, list[int]] = {}
    for index, measurement in enumerate(run.measurements):
        problems.setdefault(measurement.case.group, []).append(index)
    suites = {row["suite"] for row in table}
    for number, members in enumerate(problems.values()):
        if number % HEADING_EVERY == 0:
            _print(console, Text("  " + columns.line(0).rstrip(), style="dim"))
        _print(console, _title(table[members[0]], several_suites=len(suites) > 1))
        marks = _marks([table[index] for index in members])
        for index, mark in zip(members, marks, strict=True):
            _print(console, _line(columns.line(index + 1), table[index], mark))
            _print_reason(console, table[index], told_below)
            for line in plan_lines(run.measurements[index]):
                _print(console, Text(f"    {line}", style="dim"))
    _print_totals(console, totals(frame))
    print_scalings(console, scalings(run))
    print_footer(console, run, table, stored=stored)


class _Columns:
    """The cells of the fields that are printed, every column of one width."""

    def __init__(self, columns: Sequence[Sequence[str]], gap: int) -> None:
        self._columns = columns
        self._gap = " " * gap

    @property
    def width(self) -> int:
        """How wide a line is, its mark included."""
        return 2 + len(self.line(0))

    def line(self, index: int) -> str:
        """Return a row's cells in one line; row 0 is the heading."""
        return self._gap.join(column[index] for column in self._columns)


def _fitting(table: Sequence[Row], width: int) -> _Columns:
    """Return the columns that fit: as many as there is room for, the wanted ones closer if need be."""
    columns = [(field.keep, cells) for field in FIELDS if (cells := field.column(table))]
    keeps = sorted({keep for keep, _ in columns}, reverse=True)
    spacious = [(keep, 2) for keep in keeps if keep >= WANTED]
    tight = [(keep, 1) for keep in keeps if keep <= WANTED]
    chosen = _Columns([], 1)
    for limit, gap in (*spacious, *tight):
        chosen = _Columns([cells for keep, cells in columns if keep <= limit], gap)
        if chosen.width <= width:
            break
    return chosen


def _title(row: Row, *, several_suites: bool) -> Text:
    suite = f"{row['suite']}/" if several_suites and row["suite"] else ""
    layer = f"{row['count']} × {suite}{row['layer']}" if row["layer"] else ""
    data = "" if row["data"] in ("", "normal") else f"{row['data']} data"
    facts = (row["dtype"], row["direction"], row["cache"], data, layer, *_size(row))
    title = Text(printable(row["problem"]), style="bold cyan")
    return title.append(printable("".join(f" · {fact}" for fact in facts if fact)), style="not bold dim")


def _size(row: Row) -> list[str]:
    """Return how large a network is."""
    return [
        f"{format_rough(row[name])} {name}" for name in ("parameters", "activations") if row[name] is not None
    ]


def _marks(problem: Sequence[Row]) -> list[str]:
    """Return each row's mark: the fastest, those whose interval overlaps its own, and the others."""
    timed = [row for row in problem if row["time_us"] is not None and row["verdict"] != "suspect"]
    if len(timed) < 2:
        return [" "] * len(problem)
    fastest = min(timed, key=lambda row: float(row["time_us"]))
    level = [row for row in timed if row["time_low_us"] <= fastest["time_high_us"]]
    return [FASTEST if row is fastest else LEVEL if row in level else " " for row in problem]


def _line(cells: str, row: Row, mark: str) -> Text:
    line = Text(f"{mark} {cells.rstrip()}", style="bold" if mark == FASTEST else "")
    verdict = row["verdict"]
    line.stylize(STYLES.get(verdict, FAILED_STYLE), start=len(line) - len(verdict))
    if verdict in FAILURES:
        line.stylize("dim", end=len(line) - len(verdict))
    return line


def _print_reason(console: Console, row: Row, told_below: Sequence[tuple[str, str]]) -> None:
    if row["reason"] and (row["verdict"], row["reason"]) not in told_below:
        for part in textwrap.wrap(printable(row["reason"]), max(20, console.width - 4)):
            _print(console, Text(f"    {part}", style="dim"))


def _print_totals(console: Console, sums: pd.DataFrame) -> None:
    records: list[dict[str, Any]] = [
        {str(name): None if pd.isna(value) else value for name, value in row.items()}
        for row in sums.to_dict("records")
    ]
    for _, found in groupby(records, key=lambda row: [row[name] for name in SHARED]):
        network = list(found)
        first = network[0]
        facts = (first["setting"], first["dtype"], first["direction"], first["cache"])
        title = Text(
            f"\nAll {first['layers']} layers of {printable(first['suite'])} in this run", style="bold cyan"
        )
        what = f", {first['problems']} distinct" + "".join(f" · {fact}" for fact in facts if fact)
        _print(console, title.append(printable(what), style="not bold dim"))
        for line in _network_lines(network):
            _print(console, line)


def _network_lines(network: Sequence[dict[str, Any]]) -> list[Text]:
    several_devices = len({row["device"] for row in network}) > 1
    several_layouts = len({row["layout"] for row in network}) > 1
    names = [
        variant(row)
        + (f" {printable(row['layout'])}" if several_layouts else "")
        + (f" {printable(row['flags'])}" if row["flags"] else "")
        + (f" on {row['device']}" if several_devices else "")
        for row in network
    ]
    width = max(map(len, names))
    times = [row["time_us"] for row in network]
    comparable = len(times) > 1 and None not in times
    lines = []
    for name, row in zip(names, network, strict=True):
        if row["time_us"] is None:
            missing = f"{row['missing']} of {row['problems']} distinct layers have no time"
            lines.append(Text(f"  {name:<{width}}  no total: {missing}", style="dim"))
            continue
        fastest = comparable and row["time_us"] == min(times)
        parts = [f"{FASTEST if fastest else ' '} {name:<{width}}  {time(row):>7}"]
        if row["gflops"] is not None:
            parts.append(f"{rate(row['gflops']):>6} GFLOP/s")
        if row["speedup"] is not None:
            parts.append(f"{significant(row['speedup']):>6}×")
        if row["whole_us"] is not None:
            parts.append(_beside_whole(row))
        lines.append(Text("  ".join(parts), style="bold" if fastest else ""))
    return lines


def _beside_whole(row: dict[str, Any]) -> str:
    """Return how the sum over the layers stands to the network as one call."""
    return f"{row['time_us'] / row['whole_us']:.0%} of the network's own {time({'time_us': row['whole_us']})}"


def _print(console: Console, text: Text) -> None:
    console.print(text, highlight=False, soft_wrap=False)
