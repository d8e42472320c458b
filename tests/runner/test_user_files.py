"""Files of the user's own, imported by real worker processes: whatever one does is said of it and of nothing else."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dlbench.errors import FileError
from dlbench.ops.function import Function
from dlbench.plan.case import Variant
from dlbench.plan.files import Offer
from dlbench.runner import worker
from dlbench.runner.files import described_files, load_file, load_files, look_into
from dlbench.runner.protocol import Assignment, Describe, Failed
from dlbench.runner.worker import WorkerProcess

Write = Callable[[str, str], str]
GOOD = """
print("imported")

import dlbench
from neighbour import SIZES


@dlbench.benchmark(args=SIZES, ranges={"kind": ["up", "down"]})
def mine(state):
    for _ in state:
        pass


@dlbench.implements("matmul", variant="mine", backend="numpy")
@dlbench.implements("softmax", variant="mine")
def prepare(problem, *tensors):
    return lambda: None
"""
BROKEN = {
    "imports.py": (
        "import dlbench\nimport no_such_module\n",
        "imports.py cannot be imported: ModuleNotFoundError: No module named 'no_such_module' (imports.py:2)",
    ),
    "syntax.py": (
        "def f(:\n    pass\n",
        "syntax.py cannot be imported: SyntaxError: invalid syntax (syntax.py:1)",
    ),
    "raises.py": (
        "def deep():\n    return int('x')\n\nvalue = deep()\n",
        "raises.py cannot be imported: ValueError: invalid literal for int() with base 10: 'x' (raises.py:2)",
    ),
    "exits.py": (
        "import sys\nsys.exit('no licence')\n",
        "exits.py cannot be imported: it calls sys.exit('no licence') (exits.py:2)",
    ),
    "arguments.py": (
        "import dlbench\n\n@dlbench.benchmark(ranges={'n': (8, 4)})\ndef f(state):\n    pass\n",
        (
            "arguments.py cannot be imported: ValueError: a range goes from 1 or more up to no less, by a factor of 2 or "
            "more, not (8, 4) by 2 (arguments.py:3)"
        ),
    ),
    "words.py": (
        "import dlbench\n@dlbench.implements('softmax', variant='mine', dtypes='float32')\ndef f(problem, x): pass\n",
        (
            'words.py cannot be imported: TypeError: dtypes is a tuple of names: write dtypes=("float32",) '
            "(words.py:2)"
        ),
    ),
    "twins.py": (
        "import dlbench\n@dlbench.benchmark(name='g')\ndef f(state): pass\n@dlbench.benchmark\ndef g(state): pass\n",
        "twins.py: two benchmarks are called `g`; give one of them another name=",
    ),
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.setattr(sys, "path", list(sys.path))

    def writer(name: str, text: str) -> str:
        (tmp_path / name).write_text(text)
        return str(tmp_path / name)

    return writer


def test_a_process_of_its_own_says_what_a_file_holds(write: Write) -> None:
    write("neighbour.py", "SIZES = [(2,), 3]\n")
    path = write("good.py", GOOD)
    (found,) = look_into([path], 60)
    assert found.failure == ""
    assert set(found.offers) == {
        Offer("softmax", Variant("torch", "mine")),
        Offer("matmul", Variant("numpy", "mine")),
    }
    assert found.functions == tuple(
        Function(function="mine", args=(size,), params={"kind": kind})
        for size in (2, 3)
        for kind in ("up", "down")
    )
    assert found.variant == Variant("python", "good")


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_fails_is_named_with_its_line(write: Write, name: str) -> None:
    text, message = BROKEN[name]
    with pytest.raises(FileError) as raised:
        described_files([write(name, text)])
    assert str(raised.value) == message


def test_every_file_that_fails_is_named(write: Write) -> None:
    paths = [write(name, BROKEN[name][0]) for name in ("imports.py", "syntax.py")]
    with pytest.raises(FileError) as raised:
        load_files(paths)
    assert str(raised.value) == f"{BROKEN['imports.py'][1]}; {BROKEN['syntax.py'][1]}"


def test_a_file_that_ends_its_process_costs_nobody_else_theirs(write: Write) -> None:
    crashes = write("crashes.py", "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    ends = write("ends.py", "import os\nos.write(2, b'no licence\\n')\nos._exit(3)\n")
    broken = write("imports.py", BROKEN["imports.py"][0])
    seen = look_into([crashes, ends, broken], 60)
    assert [one.failure for one in seen] == [
        "crashes.py: the worker process ended with SIGSEGV: Fatal Python error: Segmentation fault",
        "ends.py: the worker process ended with exit status 3: no licence",
        BROKEN["imports.py"][1],
    ]


def test_a_file_that_never_ends_its_import_is_given_up(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "START_TIMEOUT", 0.5)
    (seen,) = look_into([write("endless.py", "while True:\n    pass\n")], 60)
    assert seen.failure.startswith("endless.py: no answer within")


def test_a_file_stands_in_nobodys_place(write: Write) -> None:
    import json

    module = load_file(write("json.py", "VALUE = 3\n"))
    assert module.VALUE == 3
    assert sys.modules["json"] is json


def test_what_is_no_python_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="missing.py cannot be imported: FileNotFoundError"):
        load_file(str(tmp_path / "missing.py"))
    with pytest.raises(FileError, match="data.txt cannot be imported: it is no Python file"):
        load_file(str(tmp_path / "data.txt"))


def test_a_worker_without_files_has_none_to_describe() -> None:
    process = WorkerProcess(Assignment("fake", "cpu", 1, 0, 1e-4, 2**20))
    process.ready()
    assert process.ask(Describe(), 60) == Failed("failed", "this worker has no files to describe")
    process.close()
