"""The kernels compiled for the host, once a session and dtype."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from emulator import Library, compiler


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Library]:
    """Return what gives the library of a dtype."""
    if compiler() is None:
        pytest.skip("the kernels are compiled for the host, and there is no C++ compiler (c++, g++, clang++)")
    return cache(lambda dtype: Library(dtype, tmp_path_factory.mktemp(f"kernels_{dtype}")))
