"""CSV: the table for spreadsheets and other programs, UTF-8, the columns' names in the first line.

What is unknown is empty. A spreadsheet takes a cell that begins with = + - or @ for a formula and runs it,
and a layer's name or a reason may come from a stranger's file: such a text cell gets an apostrophe in front
(OWASP, CSV Injection). The JSON and Parquet exports keep every text as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from dlbench.results.compared import COMPARED
from dlbench.results.measurement import COLUMNS, Column, Run

if TYPE_CHECKING:
    import pandas as pd

ENDING = ".csv"
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
"""How a cell begins that a spreadsheet would run."""


def write(file: BinaryIO, frame: pd.DataFrame, run: Run) -> None:  # noqa: ARG001 - every format takes the run
    """Write the table; numbers in full precision."""
    _write(file, frame, COLUMNS)


def write_comparison(
    file: BinaryIO,
    frame: pd.DataFrame,
    head: Mapping[str, Any],  # noqa: ARG001 - every format takes it
) -> None:
    """Write a comparison's rows; numbers in full precision."""
    _write(file, frame, COMPARED)


def _write(file: BinaryIO, frame: pd.DataFrame, columns: Sequence[Column]) -> None:
    texts = [column.name for column in columns if column.kind in ("text", "json")]
    safe = frame.assign(**{name: _safe(frame[name]) for name in texts})
    safe.to_csv(file, index=False, encoding="utf-8", lineterminator="\n")


def _safe(texts: pd.Series[Any]) -> pd.Series[Any]:
    """Return the texts with an apostrophe before those that would be run; most columns have none."""
    risky = texts.str.startswith(_FORMULA).fillna(value=False)
    return texts.where(~risky, "'" + texts) if risky.any() else texts
