"""Every cell of the cupy catalogue over the stand-ins: its answer, or the launch of its kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ragged import activation, loss, normalization, pooling, recurrent
from standin_cupy import Card

from dlbench.backends.backend import tensors_of
from dlbench.errors import UnsupportedError
from dlbench.ops.attention import Attention
from dlbench.ops.catalogue import ops
from dlbench.ops.conv import Conv2d
from dlbench.ops.conv_nd import Conv1d
from dlbench.ops.dtypes import INTEGERS
from dlbench.ops.im2col import Im2col
from dlbench.ops.indexing import Concat, Embedding, Gather, ScatterAdd
from dlbench.ops.linear import Linear
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import CHECKED_CALLS, Op
from dlbench.ops.optimizer import Adam, Sgd
from dlbench.ops.problem import Problem
from dlbench.ops.quantized import Int8Matmul
from dlbench.ops.reduction import Argmax, Max, Mean, Norm2, Sum
from dlbench.ops.sorting import Argsort, Nms, Topk
from dlbench.ops.sparse import Sparse24
from dlbench.ops.stream import Add, Copy, Scale, Triad
from dlbench.ops.tolerance import tolerance
from dlbench.ops.transfer import ToDevice, ToHost
from dlbench.ops.transpose import Transpose

RAGGED: dict[str, tuple[Op, ...]] = {
    "conv2d": (
        Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2, groups=2),
        Conv2d(n=3, c=5, h=6, w=7, k=4, r=1, s=1),
    ),
    "conv1d": (Conv1d(n=2, c=4, w=13, k=6, s=3, stride=2, pad=2, dilation=3, groups=2),),
    "im2col": (
        Im2col(n=2, c=3, h=9, w=7, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2),
        Im2col(n=2, c=3, h=6, w=5, r=3, s=3, pad=1),
    ),
    "matmul": (
        Matmul(m=7, n=5, k=33),
        Matmul(m=1, n=65, k=17, trans_a=True),
        Matmul(m=13, n=6, k=9, trans_b=True),
        Matmul(m=5, n=6, k=7, batch=3, trans_a=True, trans_b=True),
        Matmul(m=4, n=3, k=2, batch=2),
    ),
    "linear": (
        Linear(n=7, in_features=33, out_features=5),
        Linear(n=1, in_features=9, out_features=17, bias=False),
    ),
    "sparse24": (Sparse24(m=7, n=5, k=36),),
    "int8_matmul": (Int8Matmul(m=7, n=12, k=32),),
    "attention": (
        Attention(seq_q=5, seq_k=9, dim=3),
        Attention(batch=2, heads=3, seq_q=7, seq_k=7, dim=8, causal=True),
        Attention(batch=2, heads=6, kv_heads=2, seq_q=5, seq_k=5, dim=4, causal=True),
    ),
    **recurrent.RAGGED,
    "sum": (Sum(rows=7, cols=129),),
    "mean": (Mean(rows=7, cols=129),),
    "norm2": (Norm2(rows=7, cols=129),),
    "max": (Max(rows=7, cols=129),),
    "argmax": (Argmax(rows=7, cols=129),),
    "embedding": (Embedding(n=13, vocab=7, dim=5), Embedding(n=9, vocab=33, dim=3)),
    "gather": (Gather(rows=7, cols=5, n=13), Gather(rows=33, cols=3, n=2)),
    "scatter_add": (ScatterAdd(rows=7, cols=5, n=13),),
    "concat": (Concat(parts=3, rows=7, cols=5), Concat(parts=1, rows=3, cols=9)),
    "topk": (Topk(rows=5, cols=33, k=4), Topk(rows=3, cols=7, k=7)),
    "argsort": (Argsort(rows=5, cols=33),),
    "nms": (Nms(n=65), Nms(n=41, threshold=0.3), Nms(n=1)),
    "sgd": (
        Sgd(tensors=3, n=65),
        Sgd(n=7, lr=0.25, momentum=0.5, weight_decay=0.5),
        Sgd(n=7, lr=0.25, momentum=0.0, weight_decay=0.5),
    ),
    "adam": (Adam(tensors=3, n=65), Adam(n=7, lr=0.25, beta1=0.5, eps=0.125, weight_decay=0.5)),
    "transpose": (Transpose(rows=33, cols=65),),
    "copy": (Copy(n=1025),),
    "scale": (Scale(n=1025),),
    "add": (Add(n=1025),),
    "triad": (Triad(n=1025),),
    "to_device": (ToDevice(n=1025), ToDevice(n=1025, pinned=True)),
    "to_host": (ToHost(n=1025), ToHost(n=1025, pinned=True)),
    **pooling.RAGGED,
    **normalization.RAGGED,
    **activation.RAGGED,
    **loss.RAGGED,
}
KERNELS = ("naive", "tiled")
FORWARD_ONLY = frozenset(recurrent.RAGGED)
"""Ops whose gradients cupy does not compute."""


def problems(one: Any) -> list[Problem]:
    return [
        Problem(op, dtype, direction)
        for op in RAGGED[one.op]
        for direction in one.directions
        for dtype in one.dtypes
    ]


def prepared(backend: Any, one: Any, problem: Problem, layout: str = "") -> Any:
    tensors = tensors_of(backend, problem, problem.inputs())
    if layout:
        tensors = [backend.laid_out(tensor, layout) for tensor in tensors]
    with backend.activate(one.variant, dtype=problem.dtype):
        return one.prepare(problem, *tensors), tensors


def several(outputs: Any) -> tuple[Any, ...]:
    return outputs if isinstance(outputs, tuple) else (outputs,)


def check(backend: Any, problem: Problem, outputs: Any) -> None:
    op, direction, inputs = problem.op, problem.direction, problem.inputs()
    reference, found = op.reference(direction, inputs), {}
    for (name, expected), output in zip(reference.items(), several(outputs), strict=True):
        found[name] = backend.host(output)
        assert backend.dtype(output) == problem.format(name)
        assert found[name].shape == expected.shape
    assert op.complaint(direction, inputs, found) == ""
    for name, values in op.seen(direction, inputs, found).items():
        scale = float(np.sqrt(np.mean(reference[name] ** 2))) or 1.0
        allowed = 0.0 if problem.format(name) in INTEGERS else tolerance(problem)
        assert np.abs(values - reference[name]).max() / scale <= allowed


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
    assert computed == {
        (name, direction)
        for name in RAGGED
        for direction in ops()[name].directions
        if direction == "forward" or name not in FORWARD_ONLY
    }
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
        outputs = [call() for _ in range(CHECKED_CALLS if problem.op.stateful else 1)]
        check(backend, problem, outputs[-1])


def test_every_call_of_a_library_computes_the_whole_output_anew(backend: Any) -> None:
    for one, problem in cells(backend, kernels=False):
        call, tensors = prepared(backend, one, problem)
        for output in several(call()):
            if not problem.op.stateful:  # which goes on from it
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
