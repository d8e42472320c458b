"""For all tests: this folder can be imported, the fake backend is installed, and the user's own store is not touched."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent / "plugin")]

# Tests that run side by side share the cores: an OpenMP thread that spins while it waits takes one from its neighbour.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# No deadlines: how long an example takes says how busy the machine is.
settings.register_profile("dlbench", deadline=None)
settings.load_profile("dlbench")


@pytest.fixture(autouse=True)
def _own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DLBENCH_STORE", str(tmp_path / "runs.db"))


@pytest.fixture(scope="module", autouse=True)
def _frozen_imports() -> None:
    """Keep what pytest has imported out of the collections before each turn, as a worker does."""
    gc.collect()
    gc.freeze()
