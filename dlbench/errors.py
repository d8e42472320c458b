"""The exceptions of dlbench; each message says what is wrong, where, and what to do next.

DlbenchError                    everything dlbench raises on purpose
├── UserError                   the user can mend it: exit status 2, no traceback
│   ├── ConfigError             a config or suite file is wrong (file, line, key, nearest right word)
│   ├── ProblemError            parameters that make no sense together, such as a kernel larger than its input
│   ├── SelectionError          a name on the command line that matches nothing
│   ├── FileError               a Python file of the user's that cannot be imported, or holds nothing for us
│   └── StoreError              a database or result file that cannot be read or written
├── UnsupportedError            a variant cannot compute this problem here: the row says `unsupported`
│   └── BackendMissingError     the framework is not installed: the message holds the install command
└── WorkerError                 a worker process was lost; the row says which way
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

EXIT_USER_ERROR = 2


class DlbenchError(Exception):
    """Everything dlbench raises on purpose."""

    exit_status = 1


class UserError(DlbenchError):
    """Something the user can mend."""

    exit_status = EXIT_USER_ERROR


class ConfigError(UserError):
    """A config or suite file is wrong; `line` is 1-based, 0 when no line is known."""

    def __init__(self, problem: str, *, file: str = "", line: int = 0, key: str = "", hint: str = "") -> None:
        self.problem = problem
        self.file = file
        self.line = line
        self.key = key
        self.hint = hint
        super().__init__(self._text())

    def _text(self) -> str:
        where = ":".join(str(part) for part in (self.file, self.line) if part)
        head = f"{where}: " if where else ""
        key = f"{self.key}: " if self.key else ""
        tail = f"\n  {self.hint}" if self.hint else ""
        return f"{head}{key}{self.problem}{tail}"


class ProblemError(UserError):
    """Parameters that make no sense together."""


class SelectionError(UserError):
    """A name that matches nothing."""


class FileError(UserError):
    """A Python file of the user's that cannot be imported, or holds nothing for us."""


class StoreError(UserError):
    """A database or result file that cannot be read or written."""


class UnsupportedError(DlbenchError):
    """A variant cannot compute this problem here."""


class BackendMissingError(UnsupportedError):
    """A framework is not installed."""


class WorkerError(DlbenchError):
    """A worker process was lost."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return "did you mean …?" with the nearest of the known words, or the whole list when none is near."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    return "known: " + ", ".join(words)
