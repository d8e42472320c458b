"""Which backends there are: the built-in ones and those that other packages bring by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points

from dlbench.backends import cupy, numba, numpy, torch
from dlbench.backends.backend import BackendSpec

ENTRY_POINTS = "dlbench.backends"


def backends() -> Mapping[str, BackendSpec]:
    """Return every backend's spec by name, importing no framework."""
    specs = {spec.name: spec for spec in (cupy.SPEC, numba.SPEC, numpy.SPEC, torch.SPEC)}
    for entry in entry_points(group=ENTRY_POINTS):
        spec: BackendSpec = entry.load()
        specs.setdefault(spec.name, spec)
    return specs
