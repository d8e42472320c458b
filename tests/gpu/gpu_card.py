"""The card under test, and the frameworks on it."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from dlbench.backends import cupy, torch
from dlbench.backends.backend import Backend, BackendSpec
from dlbench.backends.backend import tensors_of as backend_tensors
from dlbench.errors import BackendMissingError, UnsupportedError
from dlbench.ops.dtypes import Array
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

CARD = "cuda:0"
SPECS: Mapping[str, BackendSpec] = MappingProxyType({spec.name: spec for spec in (torch.SPEC, cupy.SPEC)})


@functools.cache
def why_no_card() -> str:
    """Return why there is nothing to test here, the empty string where torch has a GPU."""
    try:
        backend = torch.SPEC.load()
    except BackendMissingError as error:
        return str(error)
    return "" if CARD in backend.devices() else backend.why_not(CARD)


@functools.cache
def _started(name: str) -> Backend | str:
    try:
        return SPECS[name].load()(CARD, 2)
    except UnsupportedError as error:  # a framework that is not installed is one
        return str(error)


def backend_of(name: str) -> Backend:
    """Return the framework on the card; the test is skipped, with the reason, where there is none."""
    started = _started(name)
    if isinstance(started, str):
        pytest.skip(started)
    return started


def tensors_of(backend: Backend, problem: Problem, layout: str = "") -> list[Any]:
    """Return the problem's inputs on the card."""
    made = backend_tensors(backend, problem, problem.inputs())
    return [backend.laid_out(tensor, layout) for tensor in made] if layout else made


def call_of(backend: Backend, problem: Problem, variant: str = "library") -> Call:
    """Return a variant's call for the problem."""
    return backend.find(problem, variant).prepare(problem, *tensors_of(backend, problem))


def error_of(values: Array, expected: Array) -> float:
    """Return the largest difference over the reference's root mean square."""
    scale = float(np.sqrt(np.mean(expected**2))) or 1.0
    return float(np.abs(values - expected).max()) / scale
