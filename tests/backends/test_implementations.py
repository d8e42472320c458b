"""Every cell of every backend's catalogue computes the right answer; a new one is tested by being there."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest

from dlbench.backends import numba, numpy, torch
from dlbench.backends.backend import Backend, Implementation
from dlbench.errors import UnsupportedError
from dlbench.ops.attention import Attention
from dlbench.ops.catalogue import ops
from dlbench.ops.conv import Conv2d
from dlbench.ops.dtypes import DTYPES, Array
from dlbench.ops.elementwise import Relu
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Direction, Distribution, Op
from dlbench.ops.problem import Problem
from dlbench.ops.reduction import Sum
from dlbench.ops.softmax import LogSoftmax, Softmax
from dlbench.ops.stream import Add, Copy, Scale, Triad
from dlbench.ops.tolerance import tolerance
from dlbench.ops.transfer import ToDevice, ToHost
from dlbench.ops.transpose import Transpose

SPECS = {spec.name: spec for spec in (numba.SPEC, numpy.SPEC, torch.SPEC)}
RAGGED: Mapping[str, tuple[Op, ...]] = {
    "conv2d": (
        Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2, groups=2),
        Conv2d(n=3, c=5, h=6, w=7, k=4, r=1, s=1),
        Conv2d(c=5, h=6, w=7, k=4, r=1, s=1, stride=2),
        Conv2d(c=6, h=8, w=8, k=6, r=3, s=3, pad=1, groups=6),
        Conv2d(n=16, c=3, h=17, w=15, k=5, r=3, s=3, pad=1),
    ),
    "matmul": (
        Matmul(m=7, n=5, k=33),
        Matmul(m=1, n=65, k=17, trans_a=True),
        Matmul(m=13, n=6, k=9, trans_b=True),
        Matmul(m=5, n=6, k=7, batch=3, trans_a=True, trans_b=True),
    ),
    "attention": (
        Attention(seq_q=5, seq_k=9, dim=3),
        Attention(batch=2, heads=3, seq_q=7, seq_k=7, dim=8, causal=True),
        Attention(heads=2, seq_q=1, seq_k=33, dim=16),
    ),
    "softmax": (Softmax(rows=7, cols=129), Softmax(rows=5, cols=1)),
    "log_softmax": (LogSoftmax(rows=7, cols=129), LogSoftmax(rows=5, cols=1)),
    "sum": (Sum(rows=7, cols=129), Sum(rows=1, cols=1000), Sum(rows=5, cols=1)),
    "relu": (Relu(n=1025),),
    "transpose": (Transpose(rows=33, cols=65), Transpose(rows=1, cols=9)),
    "copy": (Copy(n=1025),),
    "scale": (Scale(n=1025),),
    "add": (Add(n=1025),),
    "triad": (Triad(n=1025),),
    "to_device": (ToDevice(n=1025), ToDevice(n=1025, pinned=True)),
    "to_host": (ToHost(n=1025), ToHost(n=1025, pinned=True)),
}
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


@functools.cache
def backend_of(name: str) -> Backend:
    return SPECS[name].load()("cpu", 2)


@functools.cache
def reference(op: Op, dtype: str, direction: Direction, data: Distribution) -> Array:
    (values,) = op.reference(direction, Problem(op, dtype, direction, data).inputs()).values()
    return values


def tensors_of(cell: Cell) -> list[Any]:
    backend = backend_of(cell.backend)
    return [backend.tensor(values, cell.problem.dtype) for values in cell.problem.inputs().values()]


@pytest.mark.parametrize("cell", [*cells(), *cells("uniform")], ids=str)
def test_the_answer_is_the_references(cell: Cell) -> None:
    backend, problem = backend_of(cell.backend), cell.problem
    with backend.activate(cell.implementation.variant):
        output = cell.implementation.prepare(problem, *tensors_of(cell))()
    expected = reference(problem.op, problem.dtype, problem.direction, problem.data)
    values = backend.host(output)
    assert backend.dtype(output) == problem.dtype
    assert (values.shape,) == tuple(problem.op.outputs(problem.direction).values())
    scale = float(np.sqrt(np.mean(expected**2))) or 1.0
    assert np.abs(values - expected).max() / scale <= tolerance(problem)


@pytest.mark.parametrize("cell", cells(), ids=str)
def test_every_call_computes_the_whole_output_anew(cell: Cell) -> None:
    backend = backend_of(cell.backend)
    with backend.activate(cell.implementation.variant):
        call = cell.implementation.prepare(cell.problem, *tensors_of(cell))
        first = call()
        before = backend.host(first)
        backend.poison(first)
        again = backend.host(call())
    assert np.array_equal(again, before)


@pytest.mark.parametrize("cell", cells(), ids=str)
def test_the_inputs_are_left_as_they_were(cell: Cell) -> None:
    backend = backend_of(cell.backend)
    tensors = tensors_of(cell)
    with backend.activate(cell.implementation.variant):
        backend.poison(cell.implementation.prepare(cell.problem, *tensors)())
    for tensor, given in zip(tensors, cell.problem.inputs().values(), strict=True):
        assert np.array_equal(backend.host(tensor), given)


def test_tf32_is_refused_on_a_processor() -> None:
    refused = [cell for cell in every_cell() if cell.problem.dtype == NOT_ON_A_PROCESSOR]
    assert {cell.backend for cell in refused} == {"torch"}
    for cell in refused:
        backend, problem = backend_of(cell.backend), cell.problem
        with pytest.raises(UnsupportedError), backend.activate(cell.implementation.variant, dtype="tf32"):
            cell.implementation.prepare(problem, *tensors_of(cell))


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


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("op", [op for op in RAGGED if op not in NEED_AN_ACCELERATOR])
def test_every_backend_computes_every_op_in_every_direction(name: str, op: str) -> None:
    computed = {d for one in SPECS[name].load().implementations() if one.op == op for d in one.directions}
    assert computed == set(ops()[op].directions)


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.parametrize("dtype", [dtype for dtype in DTYPES if dtype != NOT_ON_A_PROCESSOR])
def test_a_tensor_is_a_copy_that_holds_its_values(name: str, dtype: str) -> None:
    if name != "torch" and dtype == "bfloat16":
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
