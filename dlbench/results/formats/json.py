"""JSON: the whole run, raw samples included, as one object.

`run` is all but the measurements, `columns` explains the cells, and each row has the table's cells (null
where unknown) and under `measurement` the case, its visits with their samples in seconds by round, and what
the runner concluded; the row's own verdict is the analysis's, which knows of the machine's peaks.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from dlbench.results.codec import from_json, header, measurement_values, read_run, to_json
from dlbench.results.formats.rows import rows
from dlbench.results.measurement import COLUMNS, Run

if TYPE_CHECKING:
    import pandas as pd

ENDING = ".json"
SCHEMA = "dlbench-run-1"


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
    file.write(("{" + ",\n".join(head) + ',\n"rows": [').encode())
    file.writelines((",\n" if index else "\n").encode() + line.encode() for index, line in enumerate(lines))
    file.write(b"\n]}\n")


def read(path: Path) -> Run:
    """Return the run. Raises ValueError that says what is wrong with the file."""
    content = from_json(path.read_bytes())
    if not isinstance(content, dict) or not str(content.get("schema", "")).startswith("dlbench-run-"):
        raise ValueError('no object with "schema": "dlbench-run-…"')
    if content["schema"] != SCHEMA:
        raise ValueError(f"schema {content['schema']}, this dlbench reads {SCHEMA}; update dlbench")
    lines = content.get("rows")
    if not isinstance(lines, list) or not all(isinstance(row, dict) for row in lines):
        raise ValueError("`rows` is no list of objects")
    return read_run(content.get("run"), [row.get("measurement") for row in lines])
