"""Every cell of every backend's catalogue computes the right answer; a new one is tested by being there."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from ragged import RAGGED
from ragged.convolution import by_winograd

from dlbench.backends import numba, numpy, torch
from dlbench.backends.backend import Backend, Implementation, tensors_of
from dlbench.errors import UnsupportedError
from dlbench.ops.catalogue import ops
from dlbench.ops.dtypes import DTYPES, INTEGERS, Array
from dlbench.ops.problem import Problem
from dlbench.ops.stream import Copy
from dlbench.ops.tolerance import tolerance

SPECS = {spec.name: spec for spec in (numba.SPEC, numpy.SPEC, torch.SPEC)}
NEED_AN_ACCELERATOR = ("to_device", "to_host")
"""A processor has no link to itself: there is nothing to compute here but the refusal."""
NOT_ON_A_PROCESSOR = "tf32"
"""The format of an accelerator's units for matrix products."""
ONLY_ON_CUDA = ("efficient", "cudnn")
"""torch's variants that are kernels of CUDA's alone."""
REFUSED_ON_A_PROCESSOR = {
    ("spmm", "library", "float16"): "no float16 on a cpu",
    ("spmm", "library", "bfloat16"): "no bfloat16 on a cpu",
    ("sparse24", "library", "float16"): "no 2:4 sparsity on cpu",
    ("sparse24", "library", "bfloat16"): "no 2:4 sparsity on cpu",
    ("sparse24", "compiled", "float16"): "no 2:4 sparsity on cpu",
    ("sparse24", "compiled", "bfloat16"): "no 2:4 sparsity on cpu",
}
"""What torch's libraries compute on a GPU alone, by op, variant and dtype, and what is said of it here."""
LACKED: dict[str, set[tuple[str, str]]] = {
    "numba": {("bert_block", "forward"), ("llama_block", "forward"), ("fp8_matmul", "forward")}
    | {(op, "backward") for op in ("rnn", "lstm", "gru", "rnn_cell", "lstm_cell", "gru_cell")},
    "numpy": {("fp8_matmul", "forward")},
    "torch": set(),
}
"""What a backend does not compute, which is a row that says so."""
SLOW_VARIANTS = ("compiled",)
"""Each of their cells takes seconds to compile, a network in each format a minute or more."""
LONGEST = 1200
"""Seconds that a slow cell may take on a busy machine."""


class Cell(NamedTuple):
    """A variant's way to compute a problem."""

    backend: str
    implementation: Implementation
    problem: Problem

    def __str__(self) -> str:
        variant, problem = f"{self.backend}:{self.implementation.variant}", self.problem
        return f"{variant} {problem.label} {problem.direction} {problem.dtype}"


def every_cell() -> list[Cell]:
    return [
        Cell(name, implementation, Problem(op, dtype, direction))
        for name, spec in SPECS.items()
        for implementation in spec.load().implementations()
        for op in RAGGED[implementation.op]
        if implementation.variant != "winograd" or by_winograd(op)
        for direction in implementation.directions
        for dtype in implementation.dtypes
    ]


def cells() -> list[Any]:
    """Those that can be computed here, by implementation and direction; of the slow ones each by itself, marked so."""
    groups: dict[str, list[Cell]] = {}
    slow: dict[str, list[Cell]] = {}
    for cell in every_cell():
        if cell.problem.op.name in NEED_AN_ACCELERATOR or cell.problem.dtype == NOT_ON_A_PROCESSOR:
            continue
        if cell.implementation.variant in ONLY_ON_CUDA or named(cell) in REFUSED_ON_A_PROCESSOR:
            continue
        op, variant, _ = named(cell)
        if variant in SLOW_VARIANTS:
            slow.setdefault(str(cell), []).append(cell)
        else:
            groups.setdefault(f"{cell.backend}:{variant} {op} {cell.problem.direction}", []).append(cell)
    marks = (pytest.mark.slow, pytest.mark.timeout(LONGEST))
    return [
        *(pytest.param(some, id=name) for name, some in groups.items()),
        *(pytest.param(some, id=name, marks=marks) for name, some in slow.items()),
    ]


def named(cell: Cell) -> tuple[str, str, str]:
    return cell.problem.op.name, cell.implementation.variant, cell.problem.dtype


@functools.cache
def backend_of(name: str) -> Backend:
    return SPECS[name].load()("cpu", 2)


@functools.lru_cache(maxsize=256)
def inputs_of(problem: Problem) -> dict[str, Array]:
    return problem.inputs()


@functools.lru_cache(maxsize=256)
def reference(problem: Problem) -> dict[str, Array]:
    return problem.op.reference(problem.direction, inputs_of(problem))


def given(cell: Cell) -> list[Any]:
    return tensors_of(backend_of(cell.backend), cell.problem, inputs_of(cell.problem))


def several(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def same_again(problem: Problem) -> bool:
    """Whether two calls give the same answer: not where the first leaves a state, or draws a random mask."""
    return not problem.op.stateful and not (problem.op.random and problem.direction == "forward")


def check(cell: Cell) -> None:
    """Call twice, the first outputs poisoned in between, as the verifier does, by code of its own."""
    backend, problem = backend_of(cell.backend), cell.problem
    tensors = given(cell)
    with backend.activate(cell.implementation.variant):
        call = cell.implementation.prepare(problem, *tensors)
        first = several(call())
        before = [backend.host(output) for output in first]
        for output in first:
            if not problem.op.stateful:
                backend.poison(output)
        outputs = several(call())
    after = [backend.host(output) for output in outputs]
    compare(cell, [backend.dtype(output) for output in outputs], after)
    if same_again(problem):
        for one, other in zip(after, before, strict=True):
            assert np.array_equal(one, other), f"{cell}: not the same again"
    for tensor, values in zip(tensors, inputs_of(problem).values(), strict=True):
        assert np.array_equal(backend.host(tensor), values), f"{cell}: an input was changed"


def compare(cell: Cell, dtypes: list[str], outputs: list[Array]) -> None:
    problem, op, direction = cell.problem, cell.problem.op, cell.problem.direction
    shapes = op.outputs(direction)
    assert dtypes == [problem.format(name) for name in shapes], cell
    values = dict(zip(shapes, outputs, strict=True))
    assert {name: value.shape for name, value in values.items()} == shapes, cell
    assert op.complaint(direction, inputs_of(problem), values) == "", cell
    seen, expected = op.seen(direction, inputs_of(problem), values), reference(problem)
    assert set(seen) == set(expected), cell
    for name, value in expected.items():
        scale = float(np.sqrt(np.mean(value**2))) or 1.0
        allowed = 0.0 if problem.format(name) in INTEGERS else tolerance(problem)
        assert np.abs(seen[name] - value).max() / scale <= allowed, f"{cell}: {name}"


@pytest.mark.parametrize("some", cells())
def test_every_call_computes_the_references_answer_anew_and_leaves_the_inputs(some: list[Cell]) -> None:
    for cell in some:
        check(cell)


@pytest.mark.parametrize("some", cells())
def test_the_answer_is_the_references_for_uniform_data_too(some: list[Cell]) -> None:
    """Which all have one sign, so that sums do not cancel."""
    for cell in some:
        check(cell._replace(problem=replace(cell.problem, data="uniform")))


def test_a_wrong_answer_is_not_the_references() -> None:
    cell = next(cell for cell in every_cell() if named(cell) == ("softmax", "native", "float32"))
    (right,) = reference(cell.problem).values()
    compare(cell, ["float32"], [right])
    with pytest.raises(AssertionError, match="softmax 7×129 forward float32: y"):
        compare(cell, ["float32"], [right * 1.001])


def test_tf32_is_refused_on_a_processor() -> None:
    refused = [cell for cell in every_cell() if cell.problem.dtype == NOT_ON_A_PROCESSOR]
    assert {cell.backend for cell in refused} == {"torch"}
    for cell in refused:
        backend, problem = backend_of(cell.backend), cell.problem
        with pytest.raises(UnsupportedError), backend.activate(cell.implementation.variant, dtype="tf32"):
            cell.implementation.prepare(problem, *given(cell))


@pytest.mark.parametrize("refused", REFUSED_ON_A_PROCESSOR, ids=" ".join)
def test_what_only_a_gpu_computes_is_refused_on_a_processor(refused: tuple[str, str, str]) -> None:
    found = [cell for cell in every_cell() if named(cell) == refused]
    assert found
    for cell in found:
        with pytest.raises(UnsupportedError, match=REFUSED_ON_A_PROCESSOR[refused]):
            cell.implementation.prepare(cell.problem, *given(cell))


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
def test_every_backend_computes_every_op_in_every_direction_but_those_it_lacks(name: str, op: str) -> None:
    computed = {d for one in SPECS[name].load().implementations() if one.op == op for d in one.directions}
    assert computed == set(ops()[op].directions) - {d for lacked, d in LACKED[name] if lacked == op}


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
