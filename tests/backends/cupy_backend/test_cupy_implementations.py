"""Every cell of the cupy catalogue over the stand-ins: its answer, or the launch of its kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from standin_cupy import Card

from dlbench.errors import UnsupportedError
from dlbench.ops.attention import Attention
from dlbench.ops.catalogue import ops
from dlbench.ops.conv import Conv2d
from dlbench.ops.dtypes import DTYPES
from dlbench.ops.elementwise import Relu
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Op
from dlbench.ops.problem import Problem
from dlbench.ops.reduction import Sum
from dlbench.ops.softmax import LogSoftmax, Softmax
from dlbench.ops.stream import Add, Copy, Scale, Triad
from dlbench.ops.tolerance import tolerance
from dlbench.ops.transfer import ToDevice, ToHost
from dlbench.ops.transpose import Transpose

RAGGED: dict[str, tuple[Op, ...]] = {
    "conv2d": (
        Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2, groups=2),
        Conv2d(n=3, c=5, h=6, w=7, k=4, r=1, s=1),
    ),
    "matmul": (
        Matmul(m=7, n=5, k=33),
        Matmul(m=1, n=65, k=17, trans_a=True),
        Matmul(m=13, n=6, k=9, trans_b=True),
        Matmul(m=5, n=6, k=7, batch=3, trans_a=True, trans_b=True),
        Matmul(m=4, n=3, k=2, batch=2),
    ),
    "attention": (
        Attention(seq_q=5, seq_k=9, dim=3),
        Attention(batch=2, heads=3, seq_q=7, seq_k=7, dim=8, causal=True),
    ),
    "softmax": (Softmax(rows=7, cols=129), Softmax(rows=5, cols=1)),
    "log_softmax": (LogSoftmax(rows=7, cols=129), LogSoftmax(rows=5, cols=1)),
    "sum": (Sum(rows=7, cols=129),),
    "relu": (Relu(n=1025),),
    "transpose": (Transpose(rows=33, cols=65),),
    "copy": (Copy(n=1025),),
    "scale": (Scale(n=1025),),
    "add": (Add(n=1025),),
    "triad": (Triad(n=1025),),
    "to_device": (ToDevice(n=1025), ToDevice(n=1025, pinned=True)),
    "to_host": (ToHost(n=1025), ToHost(n=1025, pinned=True)),
}
KERNELS = ("naive", "tiled")


def problems(one: Any) -> list[Problem]:
    return [
        Problem(op, dtype, direction)
        for op in RAGGED[one.op]
        for direction in one.directions
        for dtype in one.dtypes
    ]


def prepared(backend: Any, one: Any, problem: Problem, layout: str = "") -> Any:
    tensors = [backend.tensor(values, problem.dtype) for values in problem.inputs().values()]
    if layout:
        tensors = [backend.laid_out(tensor, layout) for tensor in tensors]
    with backend.activate(one.variant, dtype=problem.dtype):
        return one.prepare(problem, *tensors), tensors


def check(backend: Any, problem: Problem, output: Any) -> None:
    (expected,) = problem.op.reference(problem.direction, problem.inputs()).values()
    values = backend.host(output)
    assert backend.dtype(output) == DTYPES[problem.dtype].storage
    assert values.shape == expected.shape
    scale = float(np.sqrt(np.mean(expected**2))) or 1.0
    assert np.abs(values - expected).max() / scale <= tolerance(problem)


def cells(backend: Any, *, kernels: bool) -> list[tuple[Any, Problem]]:
    found = [
        (one, problem)
        for one in backend.implementations()
        if (one.variant in KERNELS) == kernels and one.mode == ""
        for problem in problems(one)
    ]
    assert len(found) > 20
    return found


def test_the_catalogue_has_every_op_and_direction_and_just_the_variants_it_describes(backend: Any) -> None:
    computed = {(one.op, direction) for one in backend.implementations() for direction in one.directions}
    assert computed == {(name, d) for name in RAGGED for d in ops()[name].directions}
    assert {one.variant for one in backend.implementations()} == set(backend.spec.variants)


def test_no_two_implementations_answer_for_one_cell(backend: Any) -> None:
    taken = [
        (one.op, one.variant, one.mode, direction, dtype)
        for one in backend.implementations()
        for direction in one.directions
        for dtype in one.dtypes
    ]
    assert len(taken) == len(set(taken))


def test_what_the_libraries_compute_is_the_references(backend: Any) -> None:
    for one, problem in cells(backend, kernels=False):
        call, _ = prepared(backend, one, problem)
        check(backend, problem, call())


def test_every_call_of_a_library_computes_the_whole_output_anew(backend: Any) -> None:
    for one, problem in cells(backend, kernels=False):
        call, tensors = prepared(backend, one, problem)
        output = call()
        backend.poison(output)
        check(backend, problem, call())
        for tensor, given in zip(tensors, problem.inputs().values(), strict=True):
            assert np.array_equal(backend.host(tensor), given)


def test_a_prepared_call_asks_for_no_array_of_its_own(backend: Any) -> None:
    for one, problem in cells(backend, kernels=False):
        call, _ = prepared(backend, one, problem)
        assert backend.peak_of(call) == 0


def test_a_kernel_is_launched_as_its_plan_says(backend: Any, card: Card, module: Any) -> None:
    plan_of = module("launches").launch
    for one, problem in cells(backend, kernels=True):
        call, tensors = prepared(backend, one, problem)
        output = call()
        plan, launched = plan_of(problem, one.variant), card.launched[-1]
        assert (launched.name, launched.grid, launched.block) == (plan.name, plan.grid, plan.block)
        assert launched.shared == plan.shared
        pointers = launched.arguments[: len(tensors) + 1]
        assert all(passed is given for passed, given in zip(pointers, [*tensors, output], strict=True))
        scalars = launched.arguments[len(tensors) + 1 :]
        assert scalars == plan.scalars
        assert [type(value) for value in scalars] == [
            np.float32 if isinstance(value, float) else np.int64 for value in plan.scalars
        ]
        (shape,) = problem.op.outputs(problem.direction).values()
        assert (output.shape, str(output.dtype)) == (shape, problem.dtype)
        assert all(one.flags.c_contiguous for one in pointers)


def test_a_kernel_is_compiled_once_for_each_dtype_with_its_headers_in_its_key(
    backend: Any, card: Card, module: Any
) -> None:
    folder = module("launches").KERNELS
    for one, problem in cells(backend, kernels=True):
        prepared(backend, one, problem)
    sources = {code.partition("\n// headers ")[0] for code, _ in card.modules}
    assert sources == {path.read_text() for path in folder.glob("*.cu")}
    assert len(card.modules) == 2 * len(sources)
    for code, options in card.modules:
        assert len(code.rpartition("// headers ")[2].strip()) == 64
        assert options[:2] == ("-std=c++17", f"-I{folder}")
        assert options[2:] in {("-DDTYPE_float32",), ("-DDTYPE_float16",)}


def test_other_headers_make_another_key(
    backend: Any, card: Card, module: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = module("programs")
    for version in ("one", "two"):
        folder = tmp_path / version
        folder.mkdir()
        (folder / "stream.cu").write_text("void copy_naive(")
        (folder / "number.cuh").write_text(version)
        monkeypatch.setattr(programs, "KERNELS", folder)
        programs._program.cache_clear()
        one = backend.find(Problem(Copy(n=3)), "naive")
        prepared(backend, one, Problem(Copy(n=3)))
    (first, _), (second, _) = card.modules
    assert first != second


def test_a_missing_compiler_is_told_with_its_package(
    backend: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_(_: Any) -> None:
        raise ImportError("libnvrtc.so.13: cannot open shared object file\nmore")

    import standin_cupy

    monkeypatch.setattr(standin_cupy.RawModule, "compile", compile_)
    with pytest.raises(UnsupportedError) as raised:
        prepared(backend, backend.find(Problem(Copy(n=3)), "naive"), Problem(Copy(n=3)))
    assert str(raised.value) == (
        "a CUDA 13 library is missing (libnvrtc.so.13: cannot open shared object file); "
        'pip install "cupy-cuda13x[ctk]"'
    )


@pytest.mark.parametrize(
    ("dtype", "compute"), [("float32", 68), ("tf32", 77), ("float16", 68), ("float64", 70)]
)
@pytest.mark.parametrize("op", [Matmul(m=7, n=5, k=3), Attention(seq_q=5, seq_k=4, dim=3)])
def test_tf32_is_off_unless_it_is_asked_for(
    backend: Any, card: Card, dtype: str, compute: int, op: Op
) -> None:
    problem = Problem(op, dtype)
    prepared(backend, backend.find(problem, "library"), problem)[0]()
    assert {product[3] for product in card.products} == {compute}


def test_a_product_is_asked_for_transposed(backend: Any, card: Card) -> None:
    problem = Problem(Matmul(m=7, n=5, k=3))
    prepared(backend, backend.find(problem, "library"), problem)[0]()
    assert card.products == [(5, 7, 3, 68)]


def test_a_product_too_long_for_cublas_is_unsupported(backend: Any, module: Any) -> None:
    matmul = module("matmul")
    with pytest.raises(UnsupportedError) as raised:
        matmul.product_call(matmul.Product(2**31, 1, 1), "float32", None, None, None)
    assert str(raised.value) == "cuBLAS counts rows and columns to 2147483647"


def test_a_missing_cublas_is_told_with_its_package(
    backend: Any, module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cupy_backends.cuda.libs.cublas", None)
    problem = Problem(Matmul(m=7, n=5, k=3))
    with pytest.raises(
        UnsupportedError, match=r'a CUDA 13 library is missing .*; pip install "cupy-cuda13x\[ctk\]"'
    ):
        prepared(backend, backend.find(problem, "library"), problem)
