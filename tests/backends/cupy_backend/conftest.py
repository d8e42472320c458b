"""For the tests of the cupy backend: the stand-ins in place of cupy and cuDNN, and the backend imported over them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest
import standin_cudnn
import standin_cupy


@pytest.fixture
def card() -> standin_cupy.Card:
    return standin_cupy.Card()


@pytest.fixture
def cudnn() -> standin_cudnn.Library:
    return standin_cudnn.Library()


@pytest.fixture
def module(card: standin_cupy.Card, cudnn: standin_cudnn.Library) -> Iterator[Any]:
    """Give what imports a module of the backend's folder, over the stand-ins."""

    def load(name: str) -> ModuleType:
        return importlib.import_module(f"dlbench.backends.cupy.{name}")

    with standin_cupy.in_place_of({**standin_cupy.make(card), "cudnn": cudnn.module()}):
        yield load


@pytest.fixture
def backend(module: Any) -> Any:
    """The backend on the first device."""
    return module("backend").CupyBackend("cuda:0", 1)
