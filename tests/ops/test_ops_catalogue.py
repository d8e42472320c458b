from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import dlbench
from dlbench.ops import catalogue
from dlbench.ops.catalogue import ops
from dlbench.ops.op import Op
from dlbench.ops.stream import Copy


def test_the_built_in_ops_are_found_by_name() -> None:
    assert {"matmul", "conv2d", "softmax", "log_softmax", "copy", "scale", "add", "triad"} <= set(ops())


def test_every_op_says_its_name_and_what_it_is() -> None:
    for name, op in ops().items():
        assert op.name == name
        assert op.summary


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        ops()["mine"] = Copy  # type: ignore[index]


def test_another_package_adds_an_op_but_replaces_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Mine(Copy):
        name = "mine"

    class Impostor(Copy):
        """Calls itself copy."""

    class Entry:
        def __init__(self, op: type[Op]) -> None:
            self.op = op

        def load(self) -> type[Op]:
            return self.op

    monkeypatch.setattr(catalogue, "entry_points", lambda group: [Entry(Mine), Entry(Impostor)])
    assert ops()["mine"] is Mine
    assert ops()["copy"] is Copy


def test_listing_ops_and_backends_imports_no_framework() -> None:
    program = (
        "import sys; from dlbench.ops.catalogue import ops; from dlbench.backends.catalogue import backends; "
        "ops(); backends(); print(*sorted({'torch', 'numba', 'cupy'} & set(sys.modules)))"
    )
    root = str(Path(dlbench.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": root}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "\n"
