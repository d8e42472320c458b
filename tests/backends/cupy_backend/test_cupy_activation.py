"""What the tests of every cell do not say of softmax and dropout over the stand-ins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from dlbench.backends.backend import tensors_of
from dlbench.ops.dropout import Dropout
from dlbench.ops.problem import Problem
from dlbench.ops.softmax import Softmax


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_the_softmax_of_a_worked_example(backend: Any, dtype: str) -> None:
    problem = Problem(Softmax(rows=1, cols=4), dtype)
    x = backend.tensor(np.array([[5.0, 2.0, -1.0, 3.0]]), dtype)
    y = backend.host(backend.find(problem, "library").prepare(problem, x)())
    assert y.round(3).tolist() == [[0.842, 0.042, 0.002, 0.114]]


def test_two_calls_of_dropout_drop_different_elements(backend: Any) -> None:
    problem = Problem(Dropout(n=4099))
    call = backend.find(problem, "library").prepare(problem, *tensors_of(backend, problem, problem.inputs()))
    one, other = (backend.host(call()[1]) for _ in range(2))
    assert abs(np.mean(one == other) - 0.5) < 0.1  # six standard deviations of so many fair coins are 0.05


def test_dropout_tells_its_generator_how_many_numbers_it_wants(
    backend: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """cupy's draws a single one otherwise, and fills the array it is given with that."""
    asked = []

    class Generator:
        def random(self, size: Any = None, dtype: Any = float, out: Any = None) -> Any:
            asked.append((size, str(np.dtype(dtype)), out))
            return np.zeros(size, dtype)

    monkeypatch.setattr(module("dropout").cupy.random, "default_rng", Generator)
    problem = Problem(Dropout(n=5), "float16")
    call = backend.find(problem, "library").prepare(problem, *tensors_of(backend, problem, problem.inputs()))
    call()
    assert asked == [((5,), "float32", None)]
