"""Every op's gradients are those that finite differences of its forward direction give, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ragged import RAGGED

from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction, Op
from dlbench.ops.problem import Problem

STEP = 1e-6
TOLERANCE = 1e-5
"""Of a central difference of numbers of order 1: its error is of order STEP², and that of rounding 1e-16 / STEP."""
GRADIENTS: tuple[Direction, ...] = ("backward_data", "backward_weight", "backward")
CASES = [
    pytest.param(op, direction, id=f"{op.name} {op.label()} {direction}")
    for some in RAGGED.values()
    for op in some
    for direction in GRADIENTS
    if direction in op.directions
]


def inner(one: dict[str, Array], other: dict[str, Array]) -> float:
    return float(sum((one[name] * other[name]).sum() for name in other))


@pytest.mark.parametrize(("op", "direction"), CASES)
def test_a_gradient_is_that_of_finite_differences(op: Op, direction: Direction) -> None:
    rng = np.random.default_rng(0)
    inputs = Problem(op, "float64").inputs()
    outputs = op.reference("forward", inputs)
    upstream = {name: rng.standard_normal(value.shape) for name, value in outputs.items()}
    pool: dict[str, Any] = inputs | outputs | {f"d{name}": value for name, value in upstream.items()}
    gradients = op.reference(direction, {name: pool[name] for name in op.inputs(direction)})
    assert {name: value.shape for name, value in gradients.items()} == op.outputs(direction)
    given = {name: upstream[name] for name in upstream if f"d{name}" in op.inputs(direction)}
    for name, gradient in gradients.items():
        way = rng.standard_normal(gradient.shape)
        source = name.removeprefix("d")
        ahead = op.reference("forward", inputs | {source: inputs[source] + STEP * way})
        behind = op.reference("forward", inputs | {source: inputs[source] - STEP * way})
        slope = (inner(ahead, given) - inner(behind, given)) / (2 * STEP)
        assert slope == pytest.approx(float((gradient * way).sum()), rel=TOLERANCE, abs=TOLERANCE)


def test_there_are_gradients_to_test() -> None:
    assert len(CASES) >= 10
