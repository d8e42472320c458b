"""The console table's cells: which there are, and how each is written."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dlbench.units import format_duration, significant

Row = Mapping[str, Any]
"""A row of the table by column name; None where unknown."""


@dataclass(frozen=True, slots=True)
class Field:
    """A column of the console table.

    `keep` orders which stay when the terminal is narrow: 0 always, then the lowest. `spread` is an interval's
    half width, which stands behind the value. With `only_if_varied`, a column of one and the same word is left out.
    """

    heading: str
    cell: Callable[[Row], str]
    keep: int = 0
    left: bool = False
    spread: Callable[[Row], str] = lambda _: ""
    only_if_varied: bool = False

    def column(self, table: Sequence[Row]) -> list[str]:
        """Return the column's cells, all of one width, the heading first; empty when every cell is, or none says more."""
        values = [self.cell(row) for row in table]
        if self.only_if_varied and len(set(values) - {""}) < 2:
            return []
        spreads = [self.spread(row) for row in table]
        if not any(values):
            return []
        left, right = max(map(len, values)), max(map(len, spreads))
        cells = [
            value if self.left else f"{value:>{left}} {spread:<{right}}".rstrip()
            for value, spread in zip(values, spreads, strict=True)
        ]
        if right:
            cells = [cell.ljust(left + 1 + right) for cell in cells]
        width = max(len(self.heading), *map(len, cells))
        return [cell.ljust(width) if self.left else cell.rjust(width) for cell in (self.heading, *cells)]


def printable(text: str) -> str:
    """Return the text with each control character replaced: a stranger's text must not steer a terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def variant(row: Row) -> str:
    """Return `backend:variant`."""
    return printable(f"{row['backend']}:{row['variant']}")


def time(row: Row) -> str:
    """Return the headline time with the unit that fits."""
    return "" if row["time_us"] is None else format_duration(row["time_us"] * 1e-6)


def spread(low: float | None, high: float | None) -> str:
    """Return an interval's half width on a log scale as "±1.2%", ">100%" beyond that; empty without one."""
    if low is None or high is None or low == high:
        return ""
    percent = 50 * math.log(high / low)
    if percent > 100:
        return ">100%"
    return f"±{percent:.1f}%" if percent < 9.95 else f"±{percent:.0f}%"


def _speedup(row: Row) -> str:
    ratio = row["speedup"]
    if ratio is None:
        return ""
    return "1×" if row["speedup_low"] == row["speedup_high"] else f"{significant(ratio)}×"


def _median(row: Row) -> str:
    return "" if row["median_us"] is None else format_duration(row["median_us"] * 1e-6)


def _share(name: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        percent = row[name]
        if percent is None:
            return ""
        return f"{percent:.0f}%" if percent >= 9.95 else f"{percent:.1f}%"

    return cell


def _host(row: Row) -> str:
    return "" if row["host_us"] is None else format_duration(row["host_us"] * 1e-6)


def _energy(row: Row) -> str:
    return "" if row["energy_j"] is None else significant(row["energy_j"])


def _items(row: Row) -> str:
    """Return items per second with the prefix that fits: 12.3 M."""
    value = row["items_per_s"]
    if value is None:
        return ""
    factor, prefix = next(((f, p) for f, p in ((1e9, "G"), (1e6, "M"), (1e3, "k")) if value >= f), (1.0, ""))
    return f"{significant(value / factor)} {prefix}".rstrip()


def _counters(row: Row) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in (row["counters"] or {}).items())


def _error(row: Row) -> str:
    error = row["max_rel_error"]
    return "" if error is None else f"{error:.0e}" if error else "0"


def rate(value: float | None) -> str:
    """Return three significant digits, but no more than two decimals: 123, 1.23, 0.01; empty for None."""
    if value is None:
        return ""
    return significant(value) if value >= 1 else f"{value:.2f}"


def _number(name: str) -> Callable[[Row], str]:
    return lambda row: rate(row[name])


def _text(name: str) -> Callable[[Row], str]:
    return lambda row: "" if row[name] is None else printable(str(row[name]))


FIELDS: tuple[Field, ...] = (
    Field("", variant, left=True),
    Field("layout", _text("layout"), left=True, only_if_varied=True),
    Field("flags", _text("flags"), left=True),
    Field("device", _text("device"), left=True, only_if_varied=True),
    Field("time", time, spread=lambda row: spread(row["time_low_us"], row["time_high_us"])),
    Field("median", _median, keep=4),
    Field("GFLOP/s", _number("gflops"), keep=1),
    Field("GB/s", _number("gbps"), keep=3),
    Field("items/s", _items, keep=1),
    Field("peak", _share("peak_pct"), keep=2),
    Field("sheet", _share("datasheet_pct"), keep=5),
    Field("host", _host, keep=6),
    Field("J", _energy, keep=6),
    Field("GFLOP/J", _number("gflop_per_j"), keep=7),
    Field("bound", _text("bound"), keep=8, left=True),
    Field("FLOP/B", _number("intensity"), keep=9),
    Field("speedup", _speedup, spread=lambda row: spread(row["speedup_low"], row["speedup_high"])),
    Field("counters", lambda row: printable(_counters(row)), keep=3, left=True),
    Field("MiB", _number("peak_memory_mib"), keep=6),
    Field("error", _error, keep=5),
    Field("rounds", _text("rounds"), keep=7),
    Field("samples", _text("samples"), keep=10),
    Field("verdict", _text("verdict"), left=True),
)
WANTED = 6
"""The fields up to this `keep` are worth a tighter table; the others are shown where there is room."""
