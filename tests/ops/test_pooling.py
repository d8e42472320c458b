from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlbench.backends import numba, numpy
from dlbench.backends import torch as torch_backend
from dlbench.backends.backend import tensors_of
from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction
from dlbench.ops.pool import MaxPool, Pool
from dlbench.ops.pooling import (
    AdaptiveAvgPool2d,
    AdaptiveMaxPool2d,
    AdaptivePool,
    AvgPool2d,
    MaxPool2d,
    SteppedPool,
)
from dlbench.ops.problem import Problem
from dlbench.runner import verify
from dlbench.runner.verify import Verifier, WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.nn import functional

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
STEM = MaxPool2d(n=1, c=64, h=112, w=112, r=3, s=3, stride=2, pad=1)
RAMP = {"x": np.arange(16.0).reshape(1, 1, 4, 4)}
few, extents = st.integers(1, 3), st.integers(1, 9)


@st.composite
def stepped(draw: st.DrawFn, kind: type[SteppedPool]) -> SteppedPool:
    """Every parameter varies, and the window always fits."""
    r, s = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    pad, pad_w = draw(st.integers(0, r // 2)), draw(st.integers(0, s // 2))
    more = {"count_pad": draw(st.booleans())} if kind is AvgPool2d else {}
    return kind(
        n=draw(few), c=draw(few), h=max(1, r - 2 * pad) + draw(st.integers(0, 5)),
        w=max(1, s - 2 * pad_w) + draw(st.integers(0, 5)), r=r, s=s, stride=draw(st.integers(1, 4)),
        stride_w=draw(st.none() | st.integers(1, 4)), pad=pad, pad_w=pad_w, ceil=draw(st.booleans()), **more,
    )  # fmt: skip


def adaptive(kind: type[AdaptivePool]) -> st.SearchStrategy[AdaptivePool]:
    return st.builds(kind, n=few, c=few, h=extents, w=extents, p=extents, q=extents)


pools: st.SearchStrategy[Pool] = st.one_of(
    stepped(MaxPool2d), stepped(AvgPool2d), adaptive(AdaptiveMaxPool2d), adaptive(AdaptiveAvgPool2d)
)


def by_torch(op: Pool, x: torch.Tensor) -> torch.Tensor:
    if isinstance(op, MaxPool2d):
        return functional.max_pool2d(x, (op.r, op.s), op.strides, op.pads, 1, op.ceil)
    if isinstance(op, AvgPool2d):
        return functional.avg_pool2d(x, (op.r, op.s), op.strides, op.pads, op.ceil, op.count_pad)
    if isinstance(op, AdaptiveMaxPool2d):
        return functional.adaptive_max_pool2d(x, (op.p, op.q))
    assert isinstance(op, AdaptiveAvgPool2d)
    return functional.adaptive_avg_pool2d(x, (op.p, op.q))


def inputs_of(op: Pool, direction: Direction, data: Any = "normal") -> dict[str, Array]:
    return Problem(op, "float64", direction, data).inputs()


def checked(problem: Problem, call: Callable[..., Any]) -> float:
    """What verification makes of a call that is given numpy's tensors."""
    backend = numpy.SPEC.load()("cpu", 1)
    inputs = problem.inputs()
    tensors = tensors_of(backend, problem, inputs)
    return Verifier(problem, inputs).check(backend, tensors, lambda: call(*tensors))


def test_the_largest_of_each_quarter() -> None:
    y = MaxPool2d(c=1, h=4, w=4, r=2, s=2, stride=2).reference("forward", RAMP)["y"]
    assert y[0, 0].tolist() == [[5, 7], [13, 15]]


def test_padding_is_never_the_largest() -> None:
    op = MaxPool2d(c=1, h=1, w=2, r=3, s=3, pad=1)
    assert op.reference("forward", {"x": np.array([[[[-3.0, -2.0]]]])})["y"].tolist() == [[[[-2, -2]]]]


@pytest.mark.parametrize(("count_pad", "corner"), [(True, (0 + 1 + 4 + 5) / 9), (False, (0 + 1 + 4 + 5) / 4)])
def test_padding_counts_in_a_mean_if_it_is_said_to(count_pad: bool, corner: float) -> None:
    op = AvgPool2d(c=1, h=4, w=4, r=3, s=3, pad=1, count_pad=count_pad)
    y = op.reference("forward", RAMP)["y"]
    assert y[0, 0, 0, 0] == pytest.approx(corner)
    assert y[0, 0, 1, 1] == 5


@pytest.mark.parametrize("count_pad", [True, False])
def test_what_ceil_lets_a_window_reach_beyond_the_padding_never_counts(count_pad: bool) -> None:
    op = AvgPool2d(c=1, h=4, w=3, r=2, s=2, stride=2, ceil=True, count_pad=count_pad)
    x = np.arange(12.0).reshape(1, 1, 4, 3)
    assert op.reference("forward", {"x": x})["y"][0, 0].tolist() == [[2, 3.5], [8, 9.5]]


@pytest.mark.parametrize(
    ("h", "pad", "ceil", "p"), [(7, 0, False, 3), (8, 0, False, 3), (8, 0, True, 4), (5, 1, True, 3)]
)
def test_a_size_is_rounded_up_if_a_window_can_begin_inside(h: int, pad: int, ceil: bool, p: int) -> None:
    assert MaxPool2d(c=1, h=h, w=3, r=3, s=3, stride=2, pad=pad, ceil=ceil).p == p


def test_a_window_that_would_begin_in_the_padding_behind_the_image_is_left_out() -> None:
    assert MaxPool2d(c=1, h=2, w=2, r=2, s=2, stride=3, pad=1, ceil=True).y_shape == (1, 1, 1, 1)


def test_windows_that_share_out_an_image_overlap_where_they_do_not_divide_it() -> None:
    windows = AdaptiveAvgPool2d(c=1, h=7, w=4, p=3, q=2).windows
    assert windows.rows == ((0, 3), (2, 5), (4, 7))
    assert windows.columns == ((0, 2), (2, 4))


def test_of_equal_elements_the_first_in_the_order_of_rows_gets_the_gradient() -> None:
    op = AdaptiveMaxPool2d(c=1, h=2, w=3, p=1, q=1)
    x = np.array([[[[1.0, 2.0, 2.0], [2.0, 0.0, 2.0]]]])
    dx = op.reference("backward", {"x": x, "dy": np.array([[[[7.0]]]])})["dx"]
    assert dx[0, 0].tolist() == [[0, 7, 0], [0, 0, 0]]


def test_gradients_of_windows_with_the_same_largest_element_are_added_up() -> None:
    op = MaxPool2d(c=1, h=1, w=3, r=1, s=2)
    x, dy = np.array([[[[1.0, 5.0, 2.0]]]]), np.array([[[[3.0, 4.0]]]])
    assert op.reference("backward", {"x": x, "dy": dy})["dx"].tolist() == [[[[0, 7, 0]]]]


@given(pools, st.sampled_from(["normal", "integers", "zeros"]))
@settings(max_examples=80)
def test_both_directions_are_torchs(op: Pool, data: Any) -> None:
    x = torch.tensor(inputs_of(op, "forward", data)["x"], requires_grad=True)
    y = by_torch(op, x)
    dy = torch.tensor(np.random.default_rng(0).standard_normal(op.y_shape))
    (dx,) = torch.autograd.grad(y, x, dy)
    known = {"x": x.detach().numpy(), "dy": dy.numpy()}
    for direction, name, expected in (("forward", "y", y.detach()), ("backward", "dx", dx)):
        given_ = {one: known[one] for one in op.inputs(direction)}  # type: ignore[arg-type]
        answer = op.reference(direction, given_)[name]  # type: ignore[arg-type]
        np.testing.assert_allclose(answer, expected.numpy(), rtol=1e-12, atol=1e-12)


@given(pools, st.sampled_from(DIRECTIONS))
def test_single_outputs_are_those_of_the_whole(op: Pool, direction: Direction) -> None:
    inputs = inputs_of(op, direction, "integers")
    ((name, whole),) = op.reference(direction, inputs).items()
    found = op.reference_at(direction, inputs, name, np.arange(whole.size))
    np.testing.assert_allclose(found, whole.ravel(), rtol=1e-12, atol=1e-12)


@given(pools)
def test_counts_are_those_of_the_windows(op: Pool) -> None:
    windows = op.windows
    assert op.y_shape == (op.n, op.c, len(windows.rows), len(windows.columns))
    around = [len(list(windows.around(i, j))) for i in range(op.h) for j in range(op.w)]
    assert max(around) <= op.overlap
    sizes = [b - a for a, b in windows.rows], [b - a for a, b in windows.columns]
    assert min(map(min, sizes)) >= 1
    covered = sum(sizes[0]) * sum(sizes[1])
    assert covered == sum(around)
    assert covered == op.taps if isinstance(op, AdaptivePool) else covered <= op.taps
    outputs = op.n * op.c * len(windows.rows) * len(windows.columns)
    if isinstance(op, MaxPool):
        assert [op.flops(d) for d in DIRECTIONS] == [op.n * op.c * op.taps, outputs]
    else:
        assert [op.flops(d) for d in DIRECTIONS] == [op.n * op.c * op.taps + outputs] * 2


def test_the_counts_of_a_stem_by_hand() -> None:
    outputs, inputs = 64 * 56 * 56, 64 * 112 * 112
    assert STEM.label() == "1×64×112×112, 3×3 /2 pad 1"
    assert [STEM.flops(d) for d in DIRECTIONS] == [9 * outputs, outputs]
    assert [STEM.traffic(d, 4) for d in DIRECTIONS] == [4 * (inputs + outputs)] * 2
    assert STEM.input_bytes("backward", 4) == 4 * (inputs + outputs)
    mean = AvgPool2d(**STEM.model_dump(), count_pad=False)
    assert mean.label() == "1×64×112×112, 3×3 /2 pad 1 uncounted"
    assert [mean.flops(d) for d in DIRECTIONS] == [10 * outputs] * 2
    assert [mean.traffic(d, 2) for d in DIRECTIONS] == [2 * (inputs + outputs)] * 2


def test_labels_say_what_differs() -> None:
    op = MaxPool2d(c=2, h=9, w=9, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, ceil=True)
    assert op.label() == "1×2×9×9, 3×2 /2×1 pad 1×0 ceil"
    assert AdaptiveAvgPool2d(c=512, h=7, w=7, p=1, q=1).label() == "1×512×7×7 → 1×1"


def test_a_second_step_that_is_as_the_first_is_the_same_problem() -> None:
    said = MaxPool2d(c=2, h=9, w=9, r=3, s=3, stride=2, stride_w=2, pad=1, pad_w=1)
    assert said == MaxPool2d(c=2, h=9, w=9, r=3, s=3, stride=2, pad=1)


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"r": 3, "s": 3, "pad": 2}, r"max_pool2d 1×1×4×4, 3×3 pad 2: the padding is 2×2; at most half of the 3×3"),
        ({"r": 3, "s": 1, "pad": 1}, r"the padding is 1×1; at most half of the 3×1"),
        ({"r": 3, "s": 7, "pad": 1}, r"the 3×7 window is larger than the padded 6×6 input"),
    ],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_named(parameters: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ProblemError, match=complaint):
        MaxPool2d(c=1, h=4, w=4, **parameters)


@given(stepped(AvgPool2d) | adaptive(AdaptiveAvgPool2d), st.sampled_from(DIRECTIONS))
def test_a_projection_of_a_mean_agrees_and_sees_every_element(op: Pool, direction: Direction) -> None:
    inputs = inputs_of(op, direction)
    outputs = op.reference(direction, inputs)
    pair = op.projection(direction, inputs, outputs, np.random.default_rng(0))
    assert pair is not None
    np.testing.assert_allclose(*pair, rtol=1e-9, atol=1e-9)
    for output in outputs.values():
        output.flat[-1] += 1
    pair = op.projection(direction, inputs, outputs, np.random.default_rng(0))
    assert pair is not None
    assert np.abs(pair[0] - pair[1]).max() == pytest.approx(1)


OVERHANGING = [
    AvgPool2d(n=2, c=3, h=9, w=7, r=3, s=2, stride=2, stride_w=3, pad=1, pad_w=0, ceil=True),
    AvgPool2d(c=2, h=4, w=5, r=3, s=4, stride=3, pad=1, pad_w=2, ceil=True),
]
"""A mean that counts the padding but not what is behind it. torch.compile counts that too (torch 2.13)."""


@pytest.mark.parametrize("spec", [numpy.SPEC, numba.SPEC, torch_backend.SPEC], ids=lambda spec: spec.name)
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("op", OVERHANGING, ids=AvgPool2d.label)
def test_every_backend_leaves_out_what_is_behind_the_padding(
    op: AvgPool2d, direction: Direction, spec: Any
) -> None:
    backend, problem = spec.load()("cpu", 1), Problem(op, "float64", direction)
    inputs = problem.inputs()
    tensors = tensors_of(backend, problem, inputs)
    variant = {"numpy": "native", "numba": "naive"}.get(spec.name, "library")
    with backend.activate(variant):
        call = backend.find(problem, variant).prepare(problem, *tensors)
        assert Verifier(problem, inputs).check(backend, tensors, call) < 1e-14


@pytest.mark.parametrize("spec", [numpy.SPEC, numba.SPEC, torch_backend.SPEC], ids=lambda spec: spec.name)
@pytest.mark.parametrize("data", ["integers", "zeros"])
@pytest.mark.parametrize(
    "op",
    [MaxPool2d(n=2, c=5, h=9, w=8, r=3, s=4, stride=2, pad=1), AdaptiveMaxPool2d(n=2, c=5, h=9, w=8, p=4, q=3)],
    ids=str,
)  # fmt: skip
def test_every_backend_gives_the_gradient_to_the_first_of_equal_elements(
    op: Pool, data: Any, spec: Any
) -> None:
    backend, problem = spec.load()("cpu", 1), Problem(op, "float64", "backward", data)
    inputs = problem.inputs() | {"dy": np.random.default_rng(0).standard_normal(op.y_shape)}
    tensors = tensors_of(backend, problem, inputs)
    variant = {"numpy": "native", "numba": "naive"}.get(spec.name, "library")
    with backend.activate(variant):
        call = backend.find(problem, variant).prepare(problem, *tensors)
        assert Verifier(problem, inputs).check(backend, tensors, call) < 1e-14


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize(
    "op",
    [
        MaxPool2d(n=2, c=5, h=9, w=8, r=3, s=4, stride=2, pad=1),
        AvgPool2d(n=2, c=5, h=9, w=8, r=3, s=4, stride=2, pad=1),
        AdaptiveMaxPool2d(n=2, c=5, h=9, w=8, p=4, q=3),
        AdaptiveAvgPool2d(n=2, c=5, h=9, w=8, p=4, q=3),
    ],
    ids=str,
)
def test_torch_pools_channels_last_images_as_they_lie(op: Pool, direction: Direction, dtype: str) -> None:
    backend, problem = torch_backend.SPEC.load()("cpu", 1), Problem(op, dtype, direction)
    inputs = problem.inputs()
    tensors = [backend.laid_out(one, "NHWC") for one in tensors_of(backend, problem, inputs)]
    with backend.activate("library"):
        call: Any = backend.find(problem, "library", layout="NHWC").prepare(problem, *tensors)
        Verifier(problem, inputs).check(backend, tensors, call)
        assert call().is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_mean_of_all_pixels_is_torchs_mean_and_gradient(direction: Direction) -> None:
    op = AdaptiveAvgPool2d(n=2, c=5, h=9, w=8, p=1, q=1)
    backend, problem = torch_backend.SPEC.load()("cpu", 1), Problem(op, "float32", direction)
    inputs = problem.inputs()
    for layout in ("", "NHWC"):
        tensors = tensors_of(backend, problem, inputs)
        tensors = [backend.laid_out(one, layout) for one in tensors] if layout else tensors
        with backend.activate("library"):
            call: Any = backend.find(problem, "library", layout=layout).prepare(problem, *tensors)
            Verifier(problem, inputs).check(backend, tensors, call)
            answer = call()
        x = torch.randn(op.x_shape).to(
            memory_format=torch.channels_last if layout else torch.contiguous_format
        )
        y = by_torch(op, x.requires_grad_())
        own = y if direction == "forward" else torch.autograd.grad(y, x, torch.ones_like(y))[0]
        assert answer.stride() == own.stride()


def padded(op: SteppedPool, x: Array, fill: float) -> list[Array]:
    around = np.full((op.n, op.c, *op.room), fill, x.dtype)
    around[..., *op.inside] = x
    return [around[..., *places] for places in op.met()]


def zeros_that_win(op: Any, x: Array) -> Any:
    return np.maximum.reduce(padded(op, x, 0))


def without_the_last_column(op: Any, x: Array) -> Any:
    return np.maximum.reduce(padded(op, x, -np.inf)[: -op.s])


def padding_that_counts(op: Any, x: Array) -> Any:
    return np.add.reduce(padded(op, x, 0)) / x.dtype.type(op.r * op.s)


def the_last_of_equals(op: Any, x: Array, dy: Array) -> Array:
    turned = op.windows.positions(x[..., ::-1, ::-1])  # of windows that are their own mirror images
    dx = np.zeros((op.n * op.c, op.h * op.w), x.dtype)
    places = (op.h * op.w - 1 - turned)[..., ::-1, ::-1].reshape(op.n * op.c, -1)
    for row, at, values in zip(dx, places, dy.reshape(op.n * op.c, -1), strict=True):
        np.add.at(row, at, values)
    return dx.reshape(op.x_shape)


def without_the_last_window(op: Any, x: Array, dy: Array) -> Any:
    short = dy.copy()
    short[..., -1, -1] = 0
    return op.reference("backward", {"x": x, "dy": short})["dx"].astype(x.dtype)


PADDED: dict[str, Any] = {"n": 4, "c": 8, "h": 9, "w": 9, "r": 3, "s": 3, "stride": 2, "pad": 1}
WRONG = [
    (MaxPool2d(**PADDED), "forward", "normal", zeros_that_win),
    (MaxPool2d(**PADDED), "forward", "normal", without_the_last_column),
    (AvgPool2d(**PADDED, count_pad=False), "forward", "normal", padding_that_counts),
    (MaxPool2d(**PADDED), "backward", "integers", the_last_of_equals),
    (MaxPool2d(**PADDED), "backward", "normal", without_the_last_window),
]


@pytest.mark.parametrize("sampled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    ("op", "direction", "data", "wrong"), WRONG, ids=lambda one: getattr(one, "__name__", "")
)
def test_a_wrong_implementation_is_caught(
    op: Pool, direction: Direction, data: Any, wrong: Any, dtype: str, sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    if sampled:
        monkeypatch.setattr(verify, "WHOLE_REFERENCE", 0)
    with pytest.raises(WrongAnswerError, match="instead of"):
        checked(Problem(op, dtype, direction, data), lambda *tensors: wrong(op, *tensors))


def test_the_same_without_the_mistake_passes() -> None:
    op = MaxPool2d(**PADDED)
    assert checked(Problem(op), lambda x: np.maximum.reduce(padded(op, x, -np.inf))) == 0
    mean = AvgPool2d(**PADDED, count_pad=True)
    assert checked(Problem(mean), lambda x: padding_that_counts(mean, x)) < 1e-6
    distinct = Problem(op, "float32", "backward")
    assert checked(distinct, lambda x, dy: the_last_of_equals(op, x, dy)) < 1e-6
