"""A call of a test's own, checked as one is that will be timed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlbench.backends.backend import tensors_of
from dlbench.backends.numpy.backend import NumpyBackend
from dlbench.ops.problem import Problem
from dlbench.runner.verify import Verifier


def check(problem: Problem, prepare: Callable[..., Any]) -> float:
    """Return the error of what `prepare(*arrays)` returns to be called; raise WrongAnswerError where it is too large."""
    backend, inputs = NumpyBackend("cpu", 1), problem.inputs()
    tensors = tensors_of(backend, problem, inputs)
    return Verifier(problem, inputs).check(backend, tensors, prepare(*tensors))
