"""Files that hold a run or a comparison: one module per format, chosen by the file's ending.

To add one, write a module with `ENDING` and `write`, and name it in `_formats`. With `read` it can hold a run whole, with
`write_comparison` a comparison.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, runtime_checkable

from dlbench.errors import StoreError, UserError
from dlbench.results.formats import csv, json, markdown, parquet
from dlbench.results.measurement import Run

if TYPE_CHECKING:
    import pandas as pd

_REASON = 250
"""Characters of an error that are shown; another library's may quote the file."""


class Format(Protocol):
    """A way to write a table; the module of each format is one."""

    ENDING: str

    def write(self, file: BinaryIO, frame: pd.DataFrame, run: Run) -> None:
        """Write the table, its rows in the order of the run's measurements, and what else is kept."""


@runtime_checkable
class ReadableFormat(Format, Protocol):
    """A format that keeps the whole run, raw samples included."""

    def read(self, path: Path) -> Run:
        """Return the run. Raises ValueError that says what the file is instead: "is no run that dlbench wrote"."""


@runtime_checkable
class ComparisonFormat(Format, Protocol):
    """A format that can hold a comparison."""

    def write_comparison(self, file: BinaryIO, frame: pd.DataFrame, head: Mapping[str, Any]) -> None:
        """Write a comparison: its rows, and what `head` holds beside them."""


def _formats() -> Mapping[str, Format]:
    return {format_.ENDING: format_ for format_ in (csv, json, parquet, markdown)}


WRITABLE: tuple[str, ...] = tuple(_formats())
READABLE: tuple[str, ...] = tuple(
    ending for ending, form in _formats().items() if isinstance(form, ReadableFormat)
)
COMPARISONS: tuple[str, ...] = tuple(
    ending for ending, form in _formats().items() if isinstance(form, ComparisonFormat)
)
"""The endings of files that a comparison can be written to."""


def check(paths: Iterable[str | Path]) -> None:
    """Raise UserError when one of the files could not be written: better before a run than after it."""
    for path in map(Path, paths):
        _format_of(path)
        _check_place(path)


def check_comparison(paths: Iterable[str | Path]) -> None:
    """Raise UserError when a comparison could not be written to one of the files."""
    for path in map(Path, paths):
        _comparison_format_of(path)
        _check_place(path)


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path}: is a folder; name a file, such as {path / ('run' + WRITABLE[0])}")
    if not path.parent.is_dir():
        raise UserError(f"{path}: the folder {path.parent} does not exist; make it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise UserError(f"{path}: this user may not write in the folder {path.parent}; name another place")


def write(path: str | Path, frame: pd.DataFrame, run: Run) -> None:
    """Write the table in the format of the path's ending; the file appears whole or not at all.

    `frame` is the run's table, its rows in the order of the run's measurements. Raises UserError for an
    unknown ending or a place that cannot be written.
    """
    form = _format_of(Path(path))
    _write_whole(Path(path), lambda file: form.write(file, frame, run))


def write_comparison(path: str | Path, frame: pd.DataFrame, head: Mapping[str, Any]) -> None:
    """Write a comparison's rows, and beside them what `head` holds; the file appears whole or not at all.

    Raises UserError for an ending that cannot hold one, or a place that cannot be written.
    """
    form = _comparison_format_of(Path(path))
    _write_whole(Path(path), lambda file: form.write_comparison(file, frame, head))


def _write_whole(path: Path, write_content: Callable[[BinaryIO], None]) -> None:
    _check_place(path)
    target = path.resolve()
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            write_content(file)
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
        raise StoreError(f"{path}: {reason[:_REASON]}") from error


def _format_of(path: Path) -> Format:
    known = _formats()
    if path.suffix.lower() not in known:
        raise UserError(f"{path}: unknown ending `{path.suffix}`; the table can be {', '.join(WRITABLE)}")
    return known[path.suffix.lower()]


def _comparison_format_of(path: Path) -> ComparisonFormat:
    form = _formats().get(path.suffix.lower())
    if not isinstance(form, ComparisonFormat):
        raise UserError(f"{path}: a comparison cannot be `{path.suffix}`; it can be {', '.join(COMPARISONS)}")
    return form
