"""torch.compile's cells: each op once and one gradient of each kind; the rest takes minutes and is marked slow."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dlbench.backends.torch.backend import TorchBackend
from dlbench.errors import UnsupportedError
from dlbench.ops.activation import Relu
from dlbench.ops.attention import Attention
from dlbench.ops.conv import Conv2d
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.ops.reduction import Sum
from dlbench.ops.softmax import LogSoftmax, Softmax
from dlbench.ops.stream import Add, Copy, Scale, Triad
from dlbench.ops.tolerance import tolerance
from dlbench.ops.transfer import ToDevice
from dlbench.ops.transpose import Transpose

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch._dynamo.utils import counters
    from torch._inductor import config

RAGGED = Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2, groups=2)
PRODUCT = Matmul(m=5, n=6, k=7, batch=3, trans_a=True, trans_b=True)
PROBLEMS = (
    Problem(RAGGED),
    Problem(PRODUCT),
    Problem(Attention(batch=2, heads=3, seq_q=7, seq_k=7, dim=8, causal=True)),
    Problem(Softmax(rows=7, cols=129)),
    Problem(Relu(n=1025)),
)
MORE = (
    Problem(RAGGED, direction="backward_data"),
    Problem(RAGGED, direction="backward_weight"),
    Problem(LogSoftmax(rows=7, cols=129)),
    Problem(Sum(rows=7, cols=129)),
    Problem(Transpose(rows=33, cols=65)),
    Problem(Copy(n=1025)),
    Problem(Scale(n=1025)),
    Problem(Add(n=1025)),
    Problem(Triad(n=1025)),
)
SLOW = (
    *MORE,
    *(
        Problem(problem.op, dtype, problem.direction)
        for problem in (*PROBLEMS, *MORE)
        for dtype in ("float64", "bfloat16")
    ),
)


@pytest.fixture
def backend() -> Iterator[TorchBackend]:
    threads = torch.get_num_threads()
    yield TorchBackend("cpu", 1)
    torch.set_num_threads(threads)


def prepared(backend: TorchBackend, problem: Problem, layout: str = "") -> Any:
    tensors = [backend.tensor(values, problem.dtype) for values in problem.inputs().values()]
    if layout:
        tensors = [backend.laid_out(tensor, layout) for tensor in tensors]
    return backend.find(problem, "compiled", layout=layout).prepare(problem, *tensors)


def check(backend: TorchBackend, problem: Problem, layout: str = "") -> None:
    with backend.activate("compiled"):
        call = prepared(backend, problem, layout)
        backend.poison(call())
        output = backend.host(call())
    (expected,) = problem.op.reference(problem.direction, problem.inputs()).values()
    scale = float(np.sqrt(np.mean(expected**2)))
    assert np.abs(output - expected).max() / scale <= tolerance(problem)


@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: f"{problem.op.name} {problem.direction}")
def test_the_compiled_answer_is_the_references(backend: TorchBackend, problem: Problem) -> None:
    check(backend, problem)


@pytest.mark.slow
@pytest.mark.parametrize("problem", SLOW, ids=lambda problem: problem.key)
def test_the_compiled_answer_is_the_references_of_other_ops_and_dtypes(
    backend: TorchBackend, problem: Problem
) -> None:
    check(backend, problem)


@pytest.mark.slow
@pytest.mark.parametrize("direction", RAGGED.directions)
def test_a_compiled_convolution_takes_channels_last(backend: TorchBackend, direction: Any) -> None:
    check(backend, Problem(RAGGED, direction=direction), "NHWC")


def test_all_but_transfers_and_what_says_why_not_is_compiled_as_the_library_computes_it() -> None:
    cells: dict[str, set[tuple[Any, ...]]] = {"library": set(), "compiled": set()}
    for one in TorchBackend.implementations():
        if one.variant in cells and not one.op.startswith("to_") and not one.uncompiled:
            cells[one.variant].add((one.op, one.directions, one.dtypes, one.layouts, one.mode))
    assert cells["compiled"] == cells["library"] != set()
    with pytest.raises(UnsupportedError, match="does not compute to_device as `compiled`; it has library"):
        TorchBackend.find(Problem(ToDevice(n=8)), "compiled")


def test_a_problem_is_compiled_when_it_is_prepared_and_only_once(backend: TorchBackend) -> None:
    """Also for copies of its tensors, which a cold graph goes over."""
    problem = Problem(Matmul(m=3, n=4, k=5))
    with backend.activate("compiled"):
        before = counters["stats"]["unique_graphs"]
        first, second = prepared(backend, problem), prepared(backend, problem)
        assert counters["stats"]["unique_graphs"] == before + 1
        outputs = [first(), second(), first()]
        assert counters["stats"]["unique_graphs"] == before + 1
    assert torch.equal(outputs[0], outputs[1])
    assert len({output.data_ptr() for output in outputs}) == len(outputs)


def test_more_problems_than_torch_keeps_for_one_code_are_compiled(backend: TorchBackend) -> None:
    """torch gives up on a function after eight shapes; in one graph, that is an error."""
    with backend.activate("compiled"):
        calls = [prepared(backend, Problem(Matmul(m=m, n=2, k=2))) for m in range(3, 13)]
        before = counters["stats"]["unique_graphs"]
        shapes = [tuple(call().shape) for call in calls]
    assert shapes == [(m, 2) for m in range(3, 13)]
    assert counters["stats"]["unique_graphs"] == before


def test_the_seconds_of_compiling_are_told(backend: TorchBackend) -> None:
    with backend.activate("compiled"):
        details = prepared(backend, Problem(Matmul(m=2, n=4, k=6))).details
    assert list(details) == ["compile_s"]
    assert details["compile_s"] >= 0


def test_without_a_cpp_compiler_it_is_told_what_to_install(backend: TorchBackend) -> None:
    with (
        config.patch({"cpp.cxx": (None, "no-such-compiler"), "force_disable_caches": True}),
        backend.activate("compiled"),
        pytest.raises(UnsupportedError) as raised,
    ):
        prepared(backend, Problem(Relu(n=77)))
    assert str(raised.value) == "torch.compile needs a C++ compiler on a CPU; install g++, or name one in CXX"


@pytest.mark.parametrize(
    ("said", "lacking"),
    [
        ("fatal error: Python.h: No such file or directory", "Python's headers; install python3-dev"),
        ("fatal error: omp.h: No such file or directory", "OpenMP's headers; install libomp-dev"),
        ("Failed to find C compiler. Please specify via CC environment variable.", "a C compiler"),
    ],
)
def test_what_a_compiler_misses_is_told(
    backend: TorchBackend, monkeypatch: pytest.MonkeyPatch, said: str, lacking: str
) -> None:
    monkeypatch.setattr(torch, "compile", lambda code, **options: failing(RuntimeError(said)))
    with backend.activate("compiled"), pytest.raises(UnsupportedError) as raised:
        prepared(backend, Problem(Relu(n=len(said))))
    assert str(raised.value).startswith(f"torch.compile needs {lacking}")


@pytest.mark.parametrize("name", ["TritonMissing", "GPUTooOldForTriton"])
def test_what_a_gpu_misses_is_told(backend: TorchBackend, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    wrapped = RuntimeError("inductor failed")
    wrapped.__cause__ = type(name, (Exception,), {})("in words of its own")
    monkeypatch.setattr(torch, "compile", lambda code, **options: failing(wrapped))
    with backend.activate("compiled"), pytest.raises(UnsupportedError, match="^torch.compile needs .* GPU"):
        prepared(backend, Problem(Relu(n=1000 + len(name))))


def test_another_failure_to_compile_is_raised_as_it_is(
    backend: TorchBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "compile", lambda code, **options: failing(RuntimeError("a bug")))
    with backend.activate("compiled"), pytest.raises(RuntimeError, match="^a bug$"):
        prepared(backend, Problem(Relu(n=999)))


def failing(error: Exception) -> Any:
    def call(given: Any) -> None:
        raise error

    return call
