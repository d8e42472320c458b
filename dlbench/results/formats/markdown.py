"""Markdown: the table for people, as GitHub shows it.

Columns that say the same in every row are told once above the table, empty ones are left out, as is `params`,
which `problem` tells, and numbers have four significant digits; the other formats keep everything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from dlbench.results.compared import COMPARED
from dlbench.results.formats.rows import rows
from dlbench.results.measurement import COLUMNS, Column, Run
from dlbench.units import format_duration, significant

if TYPE_CHECKING:
    import pandas as pd

ENDING = ".md"
DIGITS = 4
_ESCAPED = str.maketrans(
    {"|": r"\|", "\\": r"\\", "<": "&lt;", "*": r"\*", "_": r"\_", "`": r"\`", "[": r"\["}
)


def write(file: BinaryIO, frame: pd.DataFrame, run: Run) -> None:
    """Write a heading, what all rows share, and the table."""
    facts = (
        [f"started {_text(run.started)}", f"{format_duration(run.elapsed)} of measuring"]
        if run.elapsed
        else []
    )
    lines = [f"# {_text(run.id)}", "", *_sentence(facts), *_rows(frame, COLUMNS)]
    file.write(("\n".join(lines) + "\n").encode())


def write_comparison(file: BinaryIO, frame: pd.DataFrame, head: Mapping[str, Any]) -> None:
    """Write a heading, what else differs between the sides, the rows, and the geometric means."""
    lines = [f"# {', '.join(map(_text, head['others']))} against {_text(head['base'])}", ""]
    for difference in head["differences"]:
        lines += [f"{' and '.join(map(_text, difference['between']))} also differ in:", ""]
        lines += [*(f"- {_text(line)}" for line in difference["lines"]), ""]
    lines += [*_rows(frame, COMPARED), ""]
    for mean in head["means"]:
        figures = " to ".join(significant(mean[name], DIGITS) for name in ("low", "high"))
        lines.append(
            f"Geometric mean of {mean['rows']} ratios, {_text(mean['other'])}: "
            f"{significant(mean['ratio'], DIGITS)} ({figures})"
        )
    file.write(("\n".join(lines) + "\n").encode())


def _rows(frame: pd.DataFrame, columns: Sequence[Column]) -> list[str]:
    """Return what all rows share, and the table of what varies."""
    table = rows(frame, columns)
    shown = [column for column in columns if column.kind != "json"]
    told = [column for column in shown if any(row[column.name] not in (None, "") for row in table)]
    shared = [
        column for column in told if len(table) > 1 and len({str(row[column.name]) for row in table}) == 1
    ]
    varying = [column for column in told if column not in shared]
    lines = [f"- {column.name}: {_cell(table[0][column.name], column)}" for column in shared]
    return lines + (["", _table(table, varying)] if varying else [])


def _sentence(facts: list[str]) -> list[str]:
    return [", ".join(facts), ""] if facts else []


def _table(table: list[dict[str, Any]], columns: list[Column]) -> str:
    from tabulate import tabulate

    cells = [[_cell(row[column.name], column) for column in columns] for row in table]
    sides = ["right" if column.kind in ("integer", "number") else "left" for column in columns]
    names = [column.name for column in columns]
    return str(tabulate(cells, headers=names, tablefmt="pipe", colalign=sides, disable_numparse=True))


def _cell(value: Any, column: Column) -> str:
    if value is None:
        return ""
    if column.kind != "number":
        return _text(value)
    tiny = value != 0 and abs(value) < 1e-3
    return f"{value:.2e}" if tiny else significant(value, DIGITS)


def _text(value: object) -> str:
    """Return the text on one line, without what Markdown or HTML would take for itself."""
    return " ".join(str(value).split()).translate(_ESCAPED)
