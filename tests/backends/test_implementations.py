"""Every cell of every backend's catalogue computes the right answer; a new one is tested by being there."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
import pytest
from ragged import RAGGED

from dlbench.backends import numba, numpy, torch
from dlbench.backends.backend import Backend, Implementation, tensors_of
from dlbench.errors import UnsupportedError
from dlbench.ops.catalogue import ops
from dlbench.ops.dtypes import DTYPES, INTEGERS, Array
from dlbench.ops.op import CHECKED_CALLS, Direction, Distribution, Op
from dlbench.ops.problem import Problem
from dlbench.ops.stream import Copy
from dlbench.ops.tolerance import tolerance

SPECS = {spec.name: spec for spec in (numba.SPEC, numpy.SPEC, torch.SPEC)}
NEED_AN_ACCELERATOR = ("to_device", "to_host")
"""A processor has no link to itself: there is nothing to compute here but the refusal."""
NOT_ON_A_PROCESSOR = "tf32"
"""The format of an accelerator's units for matrix products."""
SLOW_VARIANTS = ("compiled",)
"""Each of their cells takes seconds to compile."""


class Cell(NamedTuple):
    """A variant's way to compute a problem."""

    backend: str
    implementation: Implementation
    problem: Problem

    def __str__(self) -> str:
        variant, problem = f"{self.backend}:{self.implementation.variant}", self.problem
        return f"{variant} {problem.label} {problem.direction} {problem.dtype}"


def every_cell(data: Distribution = "normal") -> list[Cell]:
    return [
        Cell(name, implementation, Problem(op, dtype, direction, data))
        for name, spec in SPECS.items()
        for implementation in spec.load().implementations()
        for op in RAGGED[implementation.op]
        for direction in implementation.directions
        for dtype in implementation.dtypes
    ]


def cells(data: Distribution = "normal") -> list[Any]:
    """Those that can be computed here, the slow ones marked so."""
    return [
        pytest.param(cell, marks=pytest.mark.slow) if cell.implementation.variant in SLOW_VARIANTS else cell
        for cell in every_cell(data)
        if cell.problem.op.name not in NEED_AN_ACCELERATOR and cell.problem.dtype != NOT_ON_A_PROCESSOR
    ]


def of(cell: Any) -> Cell:
    """The cell, also of one with a mark."""
    return cell if isinstance(cell, Cell) else cell.values[0]


@functools.cache
def backend_of(name: str) -> Backend:
    return SPECS[name].load()("cpu", 2)


@functools.cache
def reference(op: Op, dtype: str, direction: Direction, data: Distribution) -> dict[str, Array]:
    return op.reference(direction, Problem(op, dtype, direction, data).inputs())


def given(cell: Cell) -> list[Any]:
    return tensors_of(backend_of(cell.backend), cell.problem, cell.problem.inputs())


def several(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


@pytest.mark.parametrize("cell", [*cells(), *cells("uniform")], ids=str)
def test_the_answer_is_the_references(cell: Cell) -> None:
    backend, problem = backend_of(cell.backend), cell.problem
    op, direction = problem.op, problem.direction
    with backend.activate(cell.implementation.variant):
        call = cell.implementation.prepare(problem, *given(cell))
        outputs = [several(call()) for _ in range(CHECKED_CALLS if op.stateful else 1)][-1]
    shapes = op.outputs(direction)
    assert [backend.dtype(output) for output in outputs] == [problem.format(name) for name in shapes]
    values = dict(zip(shapes, map(backend.host, outputs), strict=True))
    assert {name: value.shape for name, value in values.items()} == shapes
    assert op.complaint(direction, problem.inputs(), values) == ""
    seen = op.seen(direction, problem.inputs(), values)
    expected = reference(op, problem.dtype, direction, problem.data)
    for name, value in expected.items():
        scale = float(np.sqrt(np.mean(value**2))) or 1.0
        allowed = 0.0 if problem.format(name) in INTEGERS else tolerance(problem)
        assert np.abs(seen[name] - value).max() / scale <= allowed, name
    assert set(seen) == set(expected)


@pytest.mark.parametrize("cell", [cell for cell in cells() if not of(cell).problem.op.stateful], ids=str)
def test_every_call_computes_the_whole_output_anew(cell: Cell) -> None:
    backend = backend_of(cell.backend)
    with backend.activate(cell.implementation.variant):
        call = cell.implementation.prepare(cell.problem, *given(cell))
        first = several(call())
        before = [backend.host(output) for output in first]
        for output in first:
            backend.poison(output)
        again = [backend.host(output) for output in several(call())]
    for one, other in zip(again, before, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("cell", cells(), ids=str)
def test_the_inputs_are_left_as_they_were(cell: Cell) -> None:
    backend = backend_of(cell.backend)
    tensors = given(cell)
    with backend.activate(cell.implementation.variant):
        for output in several(cell.implementation.prepare(cell.problem, *tensors)()):
            backend.poison(output)
    for tensor, values in zip(tensors, cell.problem.inputs().values(), strict=True):
        assert np.array_equal(backend.host(tensor), values)


def test_tf32_is_refused_on_a_processor() -> None:
    refused = [cell for cell in every_cell() if cell.problem.dtype == NOT_ON_A_PROCESSOR]
    assert {cell.backend for cell in refused} == {"torch"}
    for cell in refused:
        backend, problem = backend_of(cell.backend), cell.problem
        with pytest.raises(UnsupportedError), backend.activate(cell.implementation.variant, dtype="tf32"):
            cell.implementation.prepare(problem, *given(cell))


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("op", NEED_AN_ACCELERATOR)
def test_an_op_that_needs_an_accelerator_is_refused_on_a_processor(name: str, op: str) -> None:
    backend, problem = backend_of(name), Problem(RAGGED[op][0])
    tensors = [backend.tensor(values, problem.dtype) for values in problem.inputs().values()]
    reason = "^a processor has no link to itself: .* accelerator$|does not compute to_"
    for variant in SPECS[name].variants:
        with pytest.raises(UnsupportedError, match=reason), backend.activate(variant):
            backend.find(problem, variant).prepare(problem, *tensors)


@pytest.mark.parametrize("op", NEED_AN_ACCELERATOR)
def test_an_op_that_needs_an_accelerator_is_computed_by_torch_on_one(op: str) -> None:
    found = [one for one in SPECS["torch"].load().implementations() if one.op == op]
    assert [(one.variant, one.directions) for one in found] == [("library", ("forward",))]


def test_every_op_has_problems_here() -> None:
    built_in = {name for name, op in ops().items() if op.__module__.startswith("dlbench.")}
    assert built_in == set(RAGGED)


@pytest.mark.parametrize("name", SPECS)
def test_a_backend_describes_just_the_variants_that_it_has(name: str) -> None:
    implementations = SPECS[name].load().implementations()
    assert {one.variant for one in implementations} == set(SPECS[name].variants)


@pytest.mark.parametrize("name", SPECS)
def test_implementations_name_known_ops_directions_and_dtypes(name: str) -> None:
    for one in SPECS[name].load().implementations():
        assert set(one.directions) <= set(ops()[one.op].directions)
        assert set(one.dtypes) <= set(DTYPES)


@pytest.mark.parametrize("name", SPECS)
def test_no_two_implementations_answer_for_one_cell(name: str) -> None:
    taken = [
        (one.op, one.variant, direction, dtype)
        for one in SPECS[name].load().implementations()
        for direction in one.directions
        for dtype in one.dtypes
    ]
    assert len(taken) == len(set(taken))


@pytest.mark.parametrize("op", [op for op in RAGGED if op not in NEED_AN_ACCELERATOR])
def test_torch_computes_every_op_in_every_direction(op: str) -> None:
    computed = {d for one in torch.SPEC.load().implementations() if one.op == op for d in one.directions}
    assert computed == set(ops()[op].directions)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize(
    "dtype", [dtype for dtype in DTYPES if dtype != NOT_ON_A_PROCESSOR and dtype not in INTEGERS]
)
def test_a_tensor_is_a_copy_that_holds_its_values(name: str, dtype: str) -> None:
    if name != "torch" and dtype in ("bfloat16", "float8_e4m3fn"):
        dtype = "float32"  # numpy has no such number
    backend = backend_of(name)
    values = Problem(Copy(n=100), dtype).inputs()["a"]
    tensor = backend.tensor(values, dtype)
    assert np.array_equal(backend.host(tensor), values)
    assert backend.dtype(tensor) == dtype
    backend.poison(tensor)
    assert np.isfinite(values).all()
    assert np.isnan(backend.host(tensor)).all()


@pytest.mark.parametrize("name", SPECS)
def test_the_host_copy_shares_no_memory_with_the_tensor(name: str) -> None:
    backend = backend_of(name)
    tensor = backend.tensor(np.ones(5), "float64")
    copy = backend.host(tensor)
    backend.poison(tensor)
    assert copy.tolist() == [1.0] * 5


@pytest.mark.parametrize("name", SPECS)
def test_the_environment_has_the_frameworks_version(name: str) -> None:
    assert backend_of(name).environment()[name][0].isdigit()
