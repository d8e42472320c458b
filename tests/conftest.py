"""Shared by all tests: the helper modules here can be imported, the fake backend is installed, and no test touches the user's own store."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "plugin")]


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLBENCH_STORE", str(tmp_path / "runs.db"))
