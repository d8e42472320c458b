"""Where the built-in configs and suites are: in the installed package, or beside it in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

Kind = Literal["configs", "suites"]
_PACKAGE = Path(__file__).parent.parent


def _folder(kind: Kind) -> Path:
    installed = _PACKAGE / kind
    return installed if installed.is_dir() else _PACKAGE.parent / kind


def builtin_names(kind: Kind) -> list[str]:
    """Return the names of the built-in files, sorted."""
    return sorted(path.stem for path in _folder(kind).glob("*.yaml"))


def builtin_path(kind: Kind, name: str) -> Path:
    """Return where the built-in file of that name is, whether or not it exists."""
    return _folder(kind) / f"{name}.yaml"
