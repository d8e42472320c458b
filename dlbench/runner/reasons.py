"""What went wrong, in one line: the error's first line and the place that led to it."""

from __future__ import annotations

import traceback
from pathlib import Path

LONGEST = 300
"""Characters of an error's message that a row repeats."""


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:LONGEST] if lines else type(error).__name__


def described(error: BaseException, *files: str) -> str:
    """Return "ImportError: No module named 'x' (mine.py:3)": the place is the last line of these files that led there.

    Without files it is the last line of all.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{type(error).__name__}: {error.msg} ({Path(error.filename).name}:{error.lineno})"
    if isinstance(error, SystemExit):
        return f"it calls sys.exit({error.code!r}){_place(error, files)}"
    return f"{type(error).__name__}: {first_line(error)}{_place(error, files)}"


def _place(error: BaseException, files: tuple[str, ...]) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = {str(Path(file).absolute()) for file in files}
    chosen = [frame for frame in frames if frame.filename in own or not own]
    return f" ({Path(chosen[-1].filename).name}:{chosen[-1].lineno})" if chosen else ""
