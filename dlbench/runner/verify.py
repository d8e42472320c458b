"""Check a prepared call's answer against the float64 reference, on the buffers that will be timed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlbench.backends.backend import Backend
from dlbench.ops.dtypes import INTEGERS, Array
from dlbench.ops.problem import Problem
from dlbench.ops.tolerance import tolerance
from dlbench.timing.clock import Call
from dlbench.units import format_shape

WHOLE_REFERENCE = 50_000_000
"""Operations up to which the whole reference is computed: a few milliseconds in float64, less than the timing."""
SAMPLED_OUTPUTS = 256
"""Positions compared where the whole reference is too dear; Freivalds' check covers the rest."""


class WrongAnswerError(Exception):
    """The call computes something else; the message says what differs and by how much."""


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is known of the right outputs: values at flat positions, or everywhere where positions are None."""

    values: Array
    positions: np.ndarray[Any, np.dtype[np.intp]] | None


class Verifier:
    """Knows a problem's right answer; computed once, it checks every variant of the problem in this process."""

    def __init__(self, problem: Problem, inputs: Mapping[str, Array]) -> None:
        """Take the problem and the inputs that the variants were given."""
        self.problem = problem
        self.inputs = inputs
        self.tolerance = tolerance(problem)
        self._rng = np.random.default_rng(0)
        self._expected = self._expectations()

    def _expectations(self) -> dict[str, Expectation]:
        op, direction = self.problem.op, self.problem.direction
        if op.reference_cost(direction) <= WHOLE_REFERENCE:
            whole = op.reference(direction, self.inputs)
            return {name: Expectation(values.ravel(), None) for name, values in whole.items()}
        return {name: self._sampled(name, math.prod(shape)) for name, shape in op.outputs(direction).items()}

    def _sampled(self, name: str, size: int) -> Expectation:
        count = min(size, SAMPLED_OUTPUTS)
        positions = np.sort(self._rng.choice(size, size=count, replace=False)).astype(np.intp)
        positions[[0, -1]] = 0, size - 1  # the corners, where an off-by-one shows first
        values = self.problem.op.reference_at(self.problem.direction, self.inputs, name, positions)
        return Expectation(values, positions)

    def check(self, backend: Backend, tensors: Sequence[Any], call: Call) -> float:
        """Run the call twice, its first outputs poisoned in between, and return the largest relative error.

        The error is normalised by the root mean square of the reference. Raises WrongAnswerError when an output
        has the wrong shape or dtype, is not a number, exceeds the tolerance (0 for integers), when the op itself finds
        fault with it, or when the inputs were changed.
        """
        for output in self._returned(call()):
            if not self.problem.op.stateful:  # whose outputs are what the next call goes on from
                backend.poison(output)
        outputs = self._returned(call())
        shapes = self.problem.op.outputs(self.problem.direction)
        found = {
            name: self._on_host(backend, name, shape, output)
            for (name, shape), output in zip(shapes.items(), outputs, strict=True)
        }
        self._check_inputs(backend, tensors)
        op, direction = self.problem.op, self.problem.direction
        if complaint := op.complaint(direction, self.inputs, found):
            raise WrongAnswerError(complaint)
        seen = op.seen(direction, self.inputs, found)
        return max(self._error(name, values) for name, values in seen.items()) if seen else 0.0

    def _returned(self, result: Any) -> tuple[Any, ...]:
        """Return the outputs of a call. Raises WrongAnswerError where there are more or less of them, or one is None."""
        outputs = result if isinstance(result, tuple) else (result,)
        shapes = self.problem.op.outputs(self.problem.direction)
        if len(outputs) != len(shapes):
            raise WrongAnswerError(
                f"returns {len(outputs)} outputs instead of {len(shapes)} ({', '.join(shapes)})"
            )
        for name, output in zip(shapes, outputs, strict=True):
            if output is None:
                raise WrongAnswerError(f"returns None instead of output {name}")
        return outputs

    def _on_host(self, backend: Backend, name: str, shape: tuple[int, ...], output: Any) -> Array:
        stored = self.problem.format(name)
        if backend.dtype(output) != stored:
            raise WrongAnswerError(f"output {name} is {backend.dtype(output)} instead of {stored}")
        values = backend.host(output)
        if values.shape != shape:
            raise WrongAnswerError(
                f"output {name} is {format_shape(values.shape)} instead of {format_shape(shape)}"
            )
        return values

    def _check_inputs(self, backend: Backend, tensors: Sequence[Any]) -> None:
        for (name, given), tensor in zip(self.inputs.items(), tensors, strict=True):
            if not np.array_equal(backend.host(tensor), given):
                raise WrongAnswerError(f"changes its input {name}, or returns memory that belongs to it")

    def _error(self, name: str, values: Array) -> float:
        expected = self._expected[name]
        flat = values.ravel()
        where = expected.positions
        error = self._compare(name, flat if where is None else flat[where], expected.values, where)
        if where is None:
            return error
        return max(error, self._projected(name, values))

    def _compare(self, name: str, values: Array, expected: Array, where: Any) -> float:
        if not np.isfinite(values).all():
            first = int(np.argmin(np.isfinite(values)))
            raise WrongAnswerError(
                f"output {name} is {values[first]} at position {first if where is None else where[first]}: "
                "it was not computed, or left to recycled memory"
            )
        errors = np.abs(values - expected)
        error = float(errors.max(initial=0.0)) / _scale(expected)
        tolerance = self._tolerance_of(name)
        if error > tolerance:
            worst = int(errors.argmax())
            raise WrongAnswerError(
                f"output {name} is {values[worst]:.6g} instead of {expected[worst]:.6g} at position "
                f"{worst if where is None else where[worst]}: relative error {error:.2g}, tolerance {tolerance:.2g}"
            )
        return error

    def _tolerance_of(self, name: str) -> float:
        return 0.0 if self.problem.format(name) in INTEGERS else self.tolerance

    def _projected(self, name: str, values: Array) -> float:
        op, direction = self.problem.op, self.problem.direction
        pair = op.projection(direction, self.inputs, {name: values}, self._rng)
        if pair is None:
            return 0.0
        actual, expected = pair
        error = float(np.abs(actual - expected).max(initial=0.0)) / _scale(expected)
        if not error <= self.tolerance:
            raise WrongAnswerError(
                f"a random projection of output {name} is off by {error:.2g} (Freivalds' check), "
                f"tolerance {self.tolerance:.2g}: some outputs are wrong though the sampled ones are right"
            )
        return error


def _scale(expected: Array) -> float:
    """Return the root mean square, or 1 where that is 0: then the error is absolute."""
    return float(np.sqrt(np.mean(np.square(expected)))) or 1.0 if expected.size else 1.0
