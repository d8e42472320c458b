"""JSON: the whole run, raw samples included, as one object.

`run` is all but the measurements, `columns` explains the cells, and each row has the table's cells (null
where unknown) and under `measurement` the case, its visits with their samples in seconds by round, and what
the runner concluded; the row's own verdict is the analysis's, which knows of the machine's peaks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dlbench.results.codec import from_json, header, measurement_values, read_run, to_json
from dlbench.results.compared import COMPARED
from dlbench.results.formats.rows import rows
from dlbench.results.measurement import COLUMNS, Run

if TYPE_CHECKING:
    import pandas as pd

ENDING = ".json"
SCHEMA = "dlbench-run-1"
COMPARISON_SCHEMA = "dlbench-comparison-1"
_BEGINNING = b'{"schema": "dlbench-run-'


def write(file: BinaryIO, frame: pd.DataFrame, run: Run) -> None:
    """Write the run, one line a row, so that files can be compared."""
    head = [
        f'"schema": {to_json(SCHEMA)}',
        f'"run": {to_json(header(run))}',
        f'"columns": {to_json([asdict(column) for column in COLUMNS])}',
    ]
    lines = (
        to_json({**row, "measurement": measurement_values(measurement)})
        for row, measurement in zip(rows(frame), run.measurements, strict=True)
    )
    _write(file, head, lines)


def write_comparison(file: BinaryIO, frame: pd.DataFrame, head: Mapping[str, Any]) -> None:
    """Write a comparison: what `head` holds, the columns' meaning, and its rows, one line each."""
    entries = {"schema": COMPARISON_SCHEMA, **head, "columns": [asdict(column) for column in COMPARED]}
    _write(
        file,
        [f"{to_json(name)}: {to_json(value)}" for name, value in entries.items()],
        map(to_json, rows(frame, COMPARED)),
    )


def _write(file: BinaryIO, head: Sequence[str], lines: Iterable[str]) -> None:
    file.write(("{" + ",\n".join(head) + ',\n"rows": [').encode())
    file.writelines((",\n" if index else "\n").encode() + line.encode() for index, line in enumerate(lines))
    file.write(b"\n]}\n")


def read(path: Path) -> Run:
    """Return the run. Raises ValueError that says what the file is instead."""
    text = path.read_bytes()
    try:
        content = from_json(text)
    except ValueError as error:
        raise ValueError(_not_json(text, error)) from error
    schema = str(content.get("schema", "")) if isinstance(content, dict) else ""
    if not schema.startswith("dlbench-run-"):
        told = f'its "schema" is "{schema}"' if schema else 'it has no "schema": "dlbench-run-…"'
        raise ValueError(f"is no run that dlbench wrote: {told}")
    if schema != SCHEMA:
        raise ValueError(
            f"has schema {schema}, this dlbench reads {SCHEMA}; update dlbench, or export the run again"
        )
    lines = content.get("rows")
    if not isinstance(lines, list) or not all(isinstance(row, dict) for row in lines):
        raise ValueError("is damaged or was changed: `rows` is no list of objects")
    try:
        return read_run(content.get("run"), [row.get("measurement") for row in lines])
    except ValueError as error:
        raise ValueError(f"is damaged or was changed: {error}") from error


def _not_json(text: bytes, error: ValueError) -> str:
    if not text.strip():
        return "is empty"
    if text.startswith(_BEGINNING):
        return f"is cut off or damaged ({error}); export the run again"
    return f"is no run that dlbench wrote: it is no JSON, or is damaged ({error})"
