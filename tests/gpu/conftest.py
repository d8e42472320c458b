"""For the tests of real hardware: without a GPU each is skipped, and says what is missing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gpu_card import why_no_card

os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # as in a worker, and before any framework asks


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and (reason := why_no_card()):
            item.add_marker(pytest.mark.skip(reason=reason))
