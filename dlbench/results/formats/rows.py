"""The table's cells as plain values, for formats that are not tables themselves."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dlbench.results.codec import from_json
from dlbench.results.measurement import COLUMNS, Column, Kind

if TYPE_CHECKING:
    import pandas as pd


def _parsed(text: str) -> Any:
    try:
        return from_json(text)
    except ValueError:
        return text


_CONVERT: Mapping[Kind, Callable[[Any], Any]] = {
    "text": str,
    "json": _parsed,
    "integer": int,
    "number": float,
}


def rows(frame: pd.DataFrame, columns: Sequence[Column] = COLUMNS) -> list[dict[str, Any]]:
    """Return each row by column name; what is unknown is None, a JSON cell is its value."""
    values = [_values(frame[column.name], column) for column in columns]
    names = [column.name for column in columns]
    return [dict(zip(names, cells, strict=True)) for cells in zip(*values, strict=True)]


def _values(series: pd.Series[Any], column: Column) -> list[Any]:
    convert = _CONVERT[column.kind]
    unknown = series.isna()
    return [None if is_unknown else convert(value) for value, is_unknown in zip(series, unknown, strict=True)]
