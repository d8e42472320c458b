"""Files that hold a run: one module per format, chosen by the file's ending.

To add one, write a module with `ENDING` and `write`, and name it in `_formats`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol, runtime_checkable

from dlbench.errors import StoreError, UserError
from dlbench.results.formats import csv, json, markdown, parquet
from dlbench.results.measurement import Run

if TYPE_CHECKING:
    import pandas as pd


class Format(Protocol):
    """A way to write a table; the module of each format is one."""

    ENDING: str

    def write(self, file: BinaryIO, frame: pd.DataFrame, run: Run) -> None:
        """Write the table, its rows in the order of the run's measurements, and what else is kept."""


@runtime_checkable
class ReadableFormat(Format, Protocol):
    """A format that keeps the whole run, raw samples included."""

    def read(self, path: Path) -> Run:
        """Return the run. Raises ValueError that says what is wrong with the file."""


def _formats() -> Mapping[str, Format]:
    return {format_.ENDING: format_ for format_ in (csv, json, parquet, markdown)}


WRITABLE: tuple[str, ...] = tuple(_formats())
READABLE: tuple[str, ...] = tuple(
    ending for ending, form in _formats().items() if isinstance(form, ReadableFormat)
)


def check(paths: Iterable[str | Path]) -> None:
    """Raise UserError when one of the files could not be written: better before a run than after it."""
    for path in map(Path, paths):
        _format_of(path)
        if path.is_dir():
            raise UserError(f"{path}: is a folder; name a file, such as {path / ('run' + WRITABLE[0])}")
        if not path.parent.is_dir():
            raise UserError(f"{path}: the folder {path.parent} does not exist; make it first")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise UserError(
                f"{path}: this user may not write in the folder {path.parent}; name another place"
            )


def write(path: str | Path, frame: pd.DataFrame, run: Run) -> None:
    """Write the table in the format of the path's ending; the file appears whole or not at all.

    `frame` is the run's table, its rows in the order of the run's measurements. Raises UserError for an
    unknown ending or a place that cannot be written.
    """
    path = Path(path)
    check([path])
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            _format_of(path).write(file, frame, run)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error})") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()


def read(path: str | Path) -> Run:
    """Return the run that a file holds, raw samples included.

    Raises StoreError when the file is none of ours, damaged, or of a format that does not keep the samples.
    """
    path = Path(path)
    form = _format_of(path)
    if not isinstance(form, ReadableFormat):
        raise StoreError(
            f"{path}: {form.ENDING} keeps no raw samples; read a file in {' or '.join(READABLE)}"
        )
    try:
        return form.read(path)
    except OSError as error:
        raise StoreError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise StoreError(f"{path}: is no run that dlbench wrote, or is damaged ({reason[:200]})") from error


def _format_of(path: Path) -> Format:
    known = _formats()
    if path.suffix.lower() not in known:
        raise UserError(f"{path}: unknown ending `{path.suffix}`; the table can be {', '.join(WRITABLE)}")
    return known[path.suffix.lower()]
