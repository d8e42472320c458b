"""Which backends there are: the built-in ones and those that other packages bring by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from dlbench.backends import cupy, numba, numpy, torch
from dlbench.backends.backend import BackendSpec
from dlbench.plugins import loaded

ENTRY_POINTS = "dlbench.backends"


def backends() -> Mapping[str, BackendSpec]:
    """Return every backend's spec by name, importing no framework. Warns of another package's that cannot be loaded."""
    specs = {spec.name: spec for spec in (cupy.SPEC, numba.SPEC, numpy.SPEC, torch.SPEC)}
    for spec in loaded(
        entry_points(group=ENTRY_POINTS), lambda one: isinstance(one, BackendSpec), "BackendSpec"
    ):
        specs.setdefault(spec.name, spec)
    return specs
