"""The table of what is computed comes from the code, and the manual's is up to date."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from dlbench import coverage
from dlbench.backends.backend import Backend, BackendSpec, Implementation
from dlbench.backends.catalogue import backends
from dlbench.errors import BackendMissingError
from dlbench.ops.catalogue import ops

DOCS = Path(__file__).parents[1] / "docs"


def row(op: str, direction: str = "forward") -> dict[str, str]:
    (found,) = [one for one in coverage.coverage() if (one["op"], one["direction"]) == (op, direction)]
    return found


def test_there_is_a_row_for_each_op_and_direction() -> None:
    asked = [(name, direction) for name, op in sorted(ops().items()) for direction in op.directions]
    assert [(one["op"], one["direction"]) for one in coverage.coverage()] == asked


def test_a_cell_names_the_variants_of_that_backend_for_that_direction() -> None:
    found = row("softmax")
    assert found["numba"] == "naive"
    assert found["numpy"] == "native"
    assert found["torch"].split(", ") == ["library", "native", "compiled"]
    assert found["cupy"].split(", ") == ["library", "naive", "tiled"]
    assert row("to_device")["numpy"] == ""


def test_a_variant_with_several_implementations_is_named_once() -> None:
    assert row("conv2d")["cupy"].count("cudnn") == 1


def test_a_backend_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    real = BackendSpec.load

    def load(self: BackendSpec) -> type[Backend]:
        if self.name == "cupy":
            raise BackendMissingError("no cupy")
        return real(self)

    monkeypatch.setattr(BackendSpec, "load", load)
    assert {one["cupy"] for one in coverage.coverage()} == {"not installed"}
    assert row("softmax")["numba"] == "naive"


def test_a_direction_that_a_backend_lacks_is_an_empty_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare() -> None:
        """Never called."""

    only = (Implementation("conv2d", "naive", ("forward",), ("float32",), prepare),)  # type: ignore[arg-type]
    monkeypatch.setattr(backends()["numba"].load(), "implementations", classmethod(lambda cls: only))
    assert row("conv2d")["numba"] == "naive"
    assert row("conv2d", "backward_data")["numba"] == ""
    assert row("matmul")["numba"] == ""


def test_the_table_in_markdown_names_an_op_once() -> None:
    rows = [
        {"op": "a", "direction": "forward", "numpy": "native", "torch": ""},
        {"op": "a", "direction": "backward", "numpy": "", "torch": "library, native"},
    ]
    assert coverage.markdown(rows) == (
        "| op | direction | numpy | torch |\n"
        "| --- | --- | --- | --- |\n"
        "| `a` | forward | native |  |\n"
        "|  | backward |  | library, native |\n"
    )


def test_the_manual_has_the_table_that_the_code_gives() -> None:
    page = runpy.run_path(str(DOCS / "make_coverage.py"))["text"]()
    assert (DOCS / "coverage.md").read_text(encoding="utf-8") == page, (
        "docs/coverage.md is out of date: python docs/make_coverage.py docs/coverage.md"
    )
