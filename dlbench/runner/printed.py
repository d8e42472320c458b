"""What the user's code writes to the standard output of a worker, where nobody would see it."""

from __future__ import annotations

import os
import sys
import tempfile

LONGEST = 80
"""Characters of its first line that a row repeats."""
READ = 1 << 20
"""Bytes that are looked at: a loop that prints writes megabytes."""
_STDOUT = 1


class Printed:
    """Takes what is written to the standard output, by Python and by native code, from when it is made on."""

    def __init__(self) -> None:
        """Put a temporary file in the place of this process's standard output."""
        sys.stdout.flush()
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), _STDOUT)

    def __call__(self) -> str:
        """Return the first line of what was written since this was asked last, and how many more there are."""
        sys.stdout.flush()
        size = os.fstat(_STDOUT).st_size
        text = os.pread(_STDOUT, min(size, READ), 0).decode(errors="replace")
        os.ftruncate(_STDOUT, 0)
        os.lseek(_STDOUT, 0, os.SEEK_SET)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if not lines:
            return ""
        more = f" and {len(lines) - 1}{' or more' if size > READ else ''} more lines" if lines[1:] else ""
        return lines[0][:LONGEST] + more
