"""Every cell of torch's and cupy's catalogues computes the right answer on the card, in each dtype, direction and layout."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest
from gpu_card import SPECS, backend_of, error_of, tensors_of
from ragged import RAGGED

from dlbench.backends.backend import Implementation
from dlbench.errors import BackendMissingError, UnsupportedError
from dlbench.ops.attention import Attention
from dlbench.ops.conv import Conv2d
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Op
from dlbench.ops.problem import Problem
from dlbench.ops.quantized import Fp8Matmul, Int8Matmul
from dlbench.ops.reduction import Sum
from dlbench.ops.softmax import LogSoftmax, Softmax
from dlbench.ops.sparse import Sparse24
from dlbench.ops.tolerance import tolerance
from dlbench.runner.verify import Verifier, WrongAnswerError

pytestmark = pytest.mark.gpu

LARGER: Mapping[str, tuple[Op, ...]] = {
    "conv2d": (
        Conv2d(n=2, c=16, h=9, w=11, k=24, r=3, s=3, pad=1),
        Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2, groups=2),
        Conv2d(n=3, c=5, h=6, w=7, k=4, r=1, s=1, stride=2),
        Conv2d(n=17, c=3, h=17, w=15, k=5, r=7, s=7, stride=2, pad=3),
    ),
    "matmul": (
        Matmul(m=136, n=72, k=264),
        Matmul(m=7, n=5, k=33, trans_a=True),
        Matmul(m=129, n=65, k=17, trans_b=True),
        Matmul(m=5, n=6, k=7, batch=3, trans_a=True, trans_b=True),
    ),
    "attention": (
        Attention(batch=2, heads=3, seq_q=72, seq_k=72, dim=64, causal=True),
        Attention(seq_q=5, seq_k=9, dim=3),
        Attention(heads=2, seq_q=1, seq_k=133, dim=16),
    ),
    "softmax": (Softmax(rows=7, cols=1029), Softmax(rows=5, cols=1)),
    "log_softmax": (LogSoftmax(rows=7, cols=1029), LogSoftmax(rows=5, cols=1)),
    "sum": (Sum(rows=7, cols=1029), Sum(rows=300, cols=3)),
    "int8_matmul": (Int8Matmul(m=24, n=40, k=72),),
    "fp8_matmul": (Fp8Matmul(m=24, n=48, k=80),),
    "sparse24": (Sparse24(m=64, n=64, k=128),),
}
"""Where the shapes of the processor's tests are too small for a card's blocks, or no multiples of what its units take."""
SLOW_VARIANTS = ("compiled",)
"""Each of their cells takes seconds to compile, so that one shape must do."""
ROUNDED_BITS = 16
"""TF32 drops 13 of float32's significant bits: a product in it errs 2^13 times as much, one in float32 not even so often."""
PRODUCTS = (Matmul(m=256, n=256, k=256), Conv2d(n=4, c=64, h=16, w=16, k=64, r=3, s=3, pad=1))


class Cell(NamedTuple):
    """A variant's way to compute a problem, on tensors in a layout."""

    backend: str
    implementation: Implementation
    problem: Problem
    layout: str

    def __str__(self) -> str:
        one, problem = self.implementation, self.problem
        words = (
            f"{self.backend}:{one.variant}",
            one.mode,
            problem.label,
            problem.direction,
            problem.dtype,
            self.layout,
        )
        return " ".join(word for word in words if word)


def cells_of(name: str) -> list[Cell]:
    """Return all cells of a backend; none where its framework cannot be imported."""
    try:
        implementations = SPECS[name].load().implementations()
    except BackendMissingError:
        return []
    return [
        Cell(name, one, Problem(op, dtype, direction), layout)
        for one in implementations
        for op in LARGER.get(one.op, RAGGED[one.op])[
            : 1 if one.variant in SLOW_VARIANTS or one.mode else None
        ]
        for direction in one.directions
        for dtype in one.dtypes
        for layout in ("", *one.layouts)
    ]


def groups() -> list[Any]:
    """Return the cells by implementation and direction."""
    found: dict[str, list[Cell]] = {}
    for name in SPECS:
        for cell in cells_of(name):
            one = cell.implementation
            words = (f"{name}:{one.variant}", one.mode, one.op, cell.problem.direction)
            found.setdefault(" ".join(word for word in words if word), []).append(cell)
    return [pytest.param(some, id=name) for name, some in found.items()]


def refusal(cell: Cell) -> str:
    """Check the cell; return why the card or the library does not have it, the empty string where it was right."""
    backend, problem = backend_of(cell.backend), cell.problem
    try:
        tensors = tensors_of(backend, problem, cell.layout)
        with backend.activate(cell.implementation.variant, dtype=problem.dtype):
            call = cell.implementation.prepare(problem, *tensors)
            Verifier(problem, problem.inputs()).check(backend, tensors, call)
    except UnsupportedError as error:
        return f"{cell}: {error}"
    except WrongAnswerError as error:
        raise AssertionError(f"{cell}: {error}") from error
    return ""


@pytest.mark.parametrize("some", groups())
def test_each_call_computes_the_references_answer_anew_and_leaves_its_inputs(some: list[Cell]) -> None:
    refusals = [refusal(cell) for cell in some]
    if all(refusals):
        pytest.skip(refusals[0])


@pytest.mark.parametrize("name", SPECS)
def test_a_backend_computes_on_the_card(name: str) -> None:
    assert backend_of(name).device in SPECS[name].load().devices()


@pytest.mark.parametrize(
    ("name", "variant", "op"),
    [
        ("torch", "library", PRODUCTS[0]),
        ("torch", "library", PRODUCTS[1]),
        ("cupy", "library", PRODUCTS[0]),
        ("cupy", "cudnn", PRODUCTS[0]),
        ("cupy", "cudnn", PRODUCTS[1]),
    ],
    ids=str,
)
def test_tf32_is_used_where_it_is_asked_for_and_nowhere_else(name: str, variant: str, op: Op) -> None:
    backend = backend_of(name)
    given = Problem(op, "float32").inputs()  # with more bits than TF32 has
    (expected,) = op.reference("forward", given).values()
    errors = {}
    for dtype in ("float32", "tf32"):
        problem = Problem(op, dtype)
        tensors: list[Any] = [backend.tensor(values, "float32") for values in given.values()]
        try:
            with backend.activate(variant, dtype=dtype):
                output = backend.find(problem, variant).prepare(problem, *tensors)()
                errors[dtype] = error_of(backend.host(output), expected)
        except UnsupportedError as error:
            pytest.skip(str(error))
    assert errors["float32"] <= tolerance(Problem(op, "float32"))
    assert errors["tf32"] > ROUNDED_BITS * errors["float32"]
