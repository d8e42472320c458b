"""Parquet: the table with its types, and the whole run beside it.

After the table's columns come `raw_samples` (seconds, a list for each visit) and `measurement` (JSON: the
case, its visits without their samples, and what the runner concluded). The rest of the run is JSON in the
schema's metadata under `dlbench`; each field's metadata holds its unit and meaning.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from dlbench.results.codec import from_json, header, measurement_values, read_run, to_json
from dlbench.results.measurement import COLUMNS, Measurement, Run

if TYPE_CHECKING:
    import pandas as pd

ENDING = ".parquet"
SCHEMA = "dlbench-run-1"
_KEY = b"dlbench"
_MAGIC = b"PAR1"
"""How every Parquet file begins and ends (the format's specification)."""


def write(file: BinaryIO, frame: pd.DataFrame, run: Run) -> None:
    """Write the table and the run."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"text": pa.string(), "json": pa.string(), "integer": pa.int64(), "number": pa.float64()}
    fields = [
        pa.field(column.name, types[column.kind], metadata={"unit": column.unit, "meaning": column.meaning})
        for column in COLUMNS
    ]
    extra = [pa.field("raw_samples", pa.list_(pa.list_(pa.float64()))), pa.field("measurement", pa.string())]
    schema = pa.schema([*fields, *extra], metadata={_KEY: to_json({"schema": SCHEMA, "run": header(run)})})
    arrays = [pa.array(frame[field.name], type=field.type, from_pandas=True) for field in fields]
    arrays.append(pa.array([_samples(m) for m in run.measurements], type=extra[0].type))
    arrays.append(pa.array([_without_samples(m) for m in run.measurements], type=extra[1].type))
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), file)


def read(path: Path) -> Run:
    """Return the run. Raises ValueError that says what the file is instead."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    beginning = _beginning(path)
    try:
        schema = pq.read_schema(path)
        columns = [name for name in ("measurement", "raw_samples") if name in schema.names]
        content = pq.read_table(path, columns=columns).to_pydict()
    except (pa.ArrowException, OSError) as error:  # of a damaged page it raises OSError
        if beginning != _MAGIC:
            raise ValueError("is no run that dlbench wrote: it is no Parquet file") from error
        raise ValueError(f"is cut off or damaged ({_sentence(error)}); export the run again") from error
    head = _head(schema.metadata or {})
    try:
        rows = zip(content["measurement"], content["raw_samples"], strict=True)
        return read_run(head.get("run"), [_measurement(text, samples) for text, samples in rows])
    except KeyError as error:
        raise ValueError(f"is damaged or was changed: there is no column {error}") from error
    except ValueError as error:
        raise ValueError(f"is damaged or was changed: {error}") from error


def _head(metadata: Mapping[bytes, bytes]) -> Mapping[str, Any]:
    """Return what the schema's metadata holds of the run. Raises ValueError that says what the file is instead."""
    if _KEY not in metadata:
        raise ValueError("is no run that dlbench wrote: it has no `dlbench` metadata")
    try:
        head: Mapping[str, Any] = dict(from_json(metadata[_KEY]))
    except (ValueError, TypeError) as error:
        raise ValueError(f"is damaged or was changed: {error}") from error
    if head.get("schema") != SCHEMA:
        raise ValueError(
            f"has schema {head.get('schema')}, this dlbench reads {SCHEMA}; update dlbench, or export the run again"
        )
    return head


def _beginning(path: Path) -> bytes:
    """Return the file's first bytes. Raises ValueError for an empty file."""
    with path.open("rb") as file:
        beginning = file.read(len(_MAGIC))
    if not beginning:
        raise ValueError("is empty")
    return beginning


def _sentence(error: Exception) -> str:
    """Return the first sentence of what pyarrow says."""
    return str(error).partition("\n")[0].partition(". ")[0].rstrip(".")


def _samples(measurement: Measurement) -> list[list[float]]:
    return [list(visit.samples) for visit in measurement.visits]


def _without_samples(measurement: Measurement) -> str:
    values = measurement_values(measurement)
    for visit in values["visits"]:
        del visit["samples"]
    return to_json(values)


def _measurement(text: object, samples: object) -> dict[str, Any]:
    """Return a measurement's plain values, its samples put back."""
    values = from_json(str(text))
    visits = values.get("visits") if isinstance(values, dict) else None
    if not isinstance(visits, list) or not isinstance(samples, list) or len(visits) != len(samples):
        raise ValueError("`measurement` and `raw_samples` do not belong together")
    if not all(isinstance(visit, dict) for visit in visits):
        raise ValueError("a visit is not an object")
    joined = [{**visit, "samples": taken} for visit, taken in zip(visits, samples, strict=True)]
    return {**dict(values), "visits": joined}
