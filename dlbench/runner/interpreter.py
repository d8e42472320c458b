"""Another Python environment whose frameworks are measured by this dlbench."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path

from platformdirs import user_cache_path

from dlbench.errors import UserError

INSPECTION_TIMEOUT = 120.0
"""Seconds for an import of the worker's modules from a cold disk."""
_INSPECT = """
import json
import dlbench.runner.serve
from dlbench.devices.environment import installed_software
print(json.dumps(installed_software()))
"""


def inspect(python: str) -> dict[str, str]:
    """Return the versions that another interpreter would compute with.

    Raises UserError where there is no such interpreter, or where it lacks what a worker imports.
    """
    path = Path(python).expanduser()
    if not (path.is_file() and os.access(path, os.X_OK)):
        raise UserError(f"--python {python}: is no interpreter; name the file, such as env/bin/python")
    try:
        done = subprocess.run(  # noqa: S603 - the user names the interpreter
            [str(path), "-P", "-c", _INSPECT],
            capture_output=True,
            text=True,
            timeout=INSPECTION_TIMEOUT,
            env={**os.environ, "PYTHONPATH": foreign_path()},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"--python {python}: cannot be started ({error})") from error
    if done.returncode != 0:
        raise UserError(f"--python {python}: {_why(done.stderr, str(path))}")
    found: Mapping[str, str] = json.loads(done.stdout.splitlines()[-1])
    return dict(found)


def _why(errors: str, python: str) -> str:
    lines = [line.strip() for line in errors.splitlines() if line.strip()]
    if any(line.lower().startswith("unknown option -p") for line in lines):
        return "is older than Python 3.11, which dlbench needs"
    last = lines[-1] if lines else "it said nothing"
    if last.startswith("ModuleNotFoundError"):
        return f"lacks what a worker imports ({last}); {python} -m pip install dlbench"
    return f"cannot run a worker: {last}"


def foreign_path() -> str:
    """Return the import path for another interpreter: this very dlbench, nothing else of ours, and what the user set."""
    package = Path(__file__).resolve().parents[1]
    folder = user_cache_path("dlbench") / f"package-{sha256(str(package).encode()).hexdigest()[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / "dlbench"
    if not link.exists():
        link.unlink(missing_ok=True)
        with contextlib.suppress(FileExistsError):  # another process was quicker
            link.symlink_to(package, target_is_directory=True)
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))


def is_ours(python: str) -> bool:
    """Return whether the path is this interpreter's own; a link to the same binary may be another environment."""
    return os.path.abspath(Path(python).expanduser()) == os.path.abspath(sys.executable)  # noqa: PTH100 - resolves no link
