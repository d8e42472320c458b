"""Python files of the user's: imported by their paths, in worker processes and nowhere else."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from types import ModuleType

from dlbench.backends.backend import collect
from dlbench.backends.python.benchmark import Benchmark, benchmarks_in
from dlbench.errors import FileError
from dlbench.ops.function import PYTHON
from dlbench.plan.case import Variant
from dlbench.plan.files import Offer, PythonFile
from dlbench.runner.protocol import Assignment, Describe, Described, Failed
from dlbench.runner.reasons import described
from dlbench.runner.worker import WorkerProcess

_PREFIX = "dlbench_file_"
"""Before the module's name: a file called numpy.py must not stand in numpy's place."""


def load_file(path: str) -> ModuleType:
    """Import a Python file. Its folder goes to the head of the import path, as Python does for a script.

    Raises FileError with the line where it failed, also where the file calls sys.exit.
    """
    file = Path(path).absolute()
    name = _PREFIX + file.stem
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise FileError(f"{file.name} cannot be imported: it is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    sys.path.insert(0, str(file.parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise FileError(f"{file.name} cannot be imported: {described(error, path)}") from error
    return module


def load_files(paths: Sequence[str]) -> list[ModuleType]:
    """Import the files. Raises FileError that names each one that failed."""
    modules, failures = [], []
    for path in paths:
        try:
            modules.append(load_file(path))
        except FileError as error:
            failures.append(str(error))
    if failures:
        raise FileError("; ".join(failures))
    return modules


def described_files(paths: Sequence[str]) -> tuple[dict[str, Benchmark], tuple[PythonFile, ...]]:
    """Import the files; return their benchmarks by name and what each of them holds. Raises FileError."""
    found: dict[str, Benchmark] = {}
    files = []
    for path, module in zip(paths, load_files(paths), strict=True):
        try:
            mine = benchmarks_in(module)
        except ValueError as error:
            raise FileError(f"{Path(path).name}: {error}") from None
        found |= mine
        offers = [Offer(one.op, Variant(one.backend, one.variant)) for one in collect(module)]
        functions = [row for one in mine.values() for row in one.rows]
        files.append(PythonFile(path, tuple(dict.fromkeys(offers)), tuple(functions)))
    return found, tuple(files)


def digests(paths: Sequence[str]) -> dict[str, str]:
    """Return a digest of each file's contents by the file's name, or its path where two have one name."""
    names = [Path(path).name for path in paths]
    return {
        path if names.count(name) > 1 else name: _digest(Path(path))
        for path, name in zip(paths, names, strict=True)
    }


def _digest(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return "absent"


def look_into(paths: Sequence[str], timeout: float) -> tuple[PythonFile, ...]:
    """Return what the files hold, as a worker process for each finds it: whatever a file does is done to that process.

    A file that cannot be imported has a `failure`; so has one that ends, or holds up, its process.
    """
    with ExitStack() as stack:
        assignments = [Assignment(PYTHON, "cpu", 1, 0, 0.0, 0, files=(path,)) for path in paths]
        workers = [stack.enter_context(closing(WorkerProcess(one))) for one in assignments]
        return tuple(_seen_in(path, worker, timeout) for path, worker in zip(paths, workers, strict=True))


def _seen_in(path: str, worker: WorkerProcess, timeout: float) -> PythonFile:
    word = worker.ready()
    if not isinstance(word, Failed):
        word = worker.ask(Describe(), timeout)
    match word:
        case Described(files=(found,)):
            return found
        case Failed(reason=reason):
            name = Path(path).name
            return PythonFile(path, failure=reason if name in reason else f"{name}: {reason}")
        case _:
            return PythonFile(path, failure=f"unexpected word: {word!r}")
