"""Where the Python files are that a config names, and the config that a Python file stands for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dlbench.errors import ConfigError
from dlbench.plan.yaml import Document


def measuring(path: Path) -> Document:
    """Return what a config would say that measures the file's benchmarks. Raises ConfigError where there is no file."""
    if not path.is_file():
        raise ConfigError("no such file", file=str(path))
    return Document(str(path), {"benchmarks": [path.name], "devices": "cpu"})


def placed(document: Document, key: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the absolute paths of the files that a config names under a key.

    What the config's own file says is meant from its folder, what an override says from the current one. Raises
    ConfigError for a file that is not there.
    """
    file, _ = document.place((key,))
    folder = Path(file).absolute().parent if Path(file).is_file() else Path.cwd()
    paths = [folder / Path(name).expanduser() for name in names]
    if missing := next((path for path in paths if not path.is_file()), None):
        raise document.error((key,), f"no such file: {missing}")
    return tuple(os.path.normpath(path) for path in paths)
