"""numpy's ways to convolve: minimal filtering, spectra, and columns whose channels are last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.fft
from hypothesis import given, settings
from hypothesis import strategies as st
from op_strategies import convolutions
from scipy.fft import irfftn

from dlbench.backends.numpy import winograd
from dlbench.backends.numpy.backend import NumpyBackend
from dlbench.errors import UnsupportedError
from dlbench.ops.conv import Conv2d
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.ops.tolerance import tolerance
from dlbench.runner.verify import Verifier, WrongAnswerError

Tensor = np.ndarray[Any, np.dtype[Any]]
RAGGED = (
    Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2, groups=2),
    Conv2d(n=3, c=5, h=6, w=7, k=4, r=1, s=1),
    Conv2d(n=2, c=5, h=6, w=7, k=4, r=1, s=1, stride=2),
    Conv2d(c=6, h=8, w=8, k=12, r=3, s=3, pad=1, groups=6),
    Conv2d(n=2, c=3, h=1, w=1, k=4, r=1, s=1),
    Conv2d(n=2, c=1, h=5, w=5, k=3, r=3, s=3),
)
TILES = (
    Conv2d(n=2, c=3, h=3, w=3, k=4, r=3, s=3),
    Conv2d(n=2, c=3, h=4, w=4, k=4, r=3, s=3),
    Conv2d(n=2, c=3, h=7, w=10, k=4, r=3, s=3),
    Conv2d(c=2, h=1, w=9, k=3, r=3, s=3, pad=1),
    Conv2d(c=2, h=9, w=1, k=3, r=3, s=3, pad=1),
    Conv2d(c=2, h=1, w=1, k=3, r=3, s=3, pad=1),
    Conv2d(c=2, h=3, w=4, k=3, r=3, s=3, pad=2),
    Conv2d(c=2, h=3, w=4, k=3, r=3, s=3, pad=3, pad_w=0),
    Conv2d(n=2, c=2, h=2, w=5, k=3, r=3, s=3, pad=7, pad_w=6),
    Conv2d(n=2, c=4, h=5, w=6, k=8, r=3, s=3, pad=1, groups=4),
    Conv2d(c=4, h=5, w=6, k=6, r=3, s=3, pad=1, groups=2),
)
"""Outputs of one tile and of several, odd and even; one row, one column; padding beyond the filter and the tile."""


def call_of(problem: Problem, variant: str, layout: str = "") -> Callable[[], Tensor]:
    backend = NumpyBackend("cpu", 1)
    tensors = [backend.tensor(values, problem.dtype) for values in problem.inputs().values()]
    if layout:
        tensors = [backend.laid_out(tensor, layout) for tensor in tensors]
    return backend.find(problem, variant, layout=layout).prepare(problem, *tensors)


def error_of(problem: Problem, found: Tensor) -> float:
    """The largest error, in tolerances."""
    (expected,) = problem.op.reference(problem.direction, problem.inputs()).values()
    assert (found.shape, str(found.dtype)) == (expected.shape, problem.dtype)
    scale = float(np.sqrt(np.mean(expected**2))) or 1.0
    return float(np.abs(found - expected).max()) / scale / tolerance(problem)


def twice(call: Callable[[], Tensor]) -> Tensor:
    call().fill(np.nan)
    return call()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", ["forward", "backward_data"])
@pytest.mark.parametrize("op", TILES, ids=Conv2d.label)
def test_winograd_is_right_on_tiles_of_every_size(op: Conv2d, direction: Direction, dtype: str) -> None:
    problem = Problem(op, dtype, direction)
    assert error_of(problem, twice(call_of(problem, "winograd"))) <= 1


@settings(max_examples=60)
@given(convolutions(), st.sampled_from(["forward", "backward_data"]))
def test_winograd_computes_any_convolution_of_its_kind(op: Conv2d, direction: Direction) -> None:
    alike = op.model_dump() | {"r": 3, "s": 3, "stride": 1, "stride_w": None, "dilation": 1}
    alike |= {"h": op.h + 2, "w": op.w + 2}
    problem = Problem(Conv2d(**alike), "float64", direction)
    assert error_of(problem, twice(call_of(problem, "winograd"))) <= 1


@pytest.mark.parametrize(
    "other", [{"r": 5}, {"s": 1}, {"stride": 2}, {"stride_w": 2}, {"dilation": 2}], ids=str
)
@pytest.mark.parametrize("direction", ["forward", "backward_data"])
def test_winograd_says_what_it_computes_where_it_cannot(other: dict[str, int], direction: Direction) -> None:
    op = Conv2d(**{"c": 2, "h": 9, "w": 9, "k": 2, "r": 3, "s": 3} | other)
    with pytest.raises(UnsupportedError) as raised:
        call_of(Problem(op, direction=direction), "winograd")
    assert str(raised.value) == (
        f"winograd computes 3×3 filters at stride 1 without dilation, not conv2d {op.label()}"
    )


def test_winograd_has_no_weight_gradient() -> None:
    problem = Problem(TILES[0], direction="backward_weight")
    with pytest.raises(
        UnsupportedError, match="numpy:winograd has no direction backward_weight: computes forward$"
    ):
        call_of(problem, "winograd")


@pytest.mark.parametrize(
    ("transform", "matrix"),
    [
        (winograd.transform_inputs, [[1, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]]),
        (winograd.transform_filter, [[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]]),
        (winograd.transform_products, [[1, 1, 1, 0], [0, 1, -1, -1]]),
    ],
)
def test_the_transforms_are_the_papers_matrices(
    transform: Callable[[Tensor, Tensor], None], matrix: list[list[float]]
) -> None:
    expected = np.array(matrix)
    out = np.empty(expected.shape)
    transform(np.eye(expected.shape[1]), out)
    assert np.array_equal(out, expected)


@pytest.mark.parametrize("op", [TILES[2], TILES[9]], ids=Conv2d.label)
def test_a_winograd_that_drops_its_corner_tile_is_caught(op: Conv2d, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = Problem(op)
    inputs = problem.inputs()
    backend, verifier = NumpyBackend("cpu", 1), Verifier(problem, inputs)
    tensors = [backend.tensor(values, "float32") for values in inputs.values()]
    prepare = backend.find(problem, "winograd").prepare
    verifier.check(backend, tensors, prepare(problem, *tensors))
    transform = winograd.transform_products

    def dropping(m: Tensor, out: Tensor) -> None:
        transform(m, out)
        out[..., -1, -1] = 0

    monkeypatch.setattr(winograd, "transform_products", dropping)
    with pytest.raises(WrongAnswerError, match="output y is 0 instead of"):
        verifier.check(backend, tensors, prepare(problem, *tensors))


@settings(max_examples=60)
@given(convolutions(), st.sampled_from(Conv2d.directions))
def test_spectra_give_every_stride_padding_and_dilation(op: Conv2d, direction: Direction) -> None:
    """Their errors are in proportion to the operands, of which a convolution of little else than padding sees little."""
    problem = Problem(op, "float64", direction)
    inputs = problem.inputs()
    (expected,) = op.reference(direction, inputs).values()
    norms = float(np.prod([np.linalg.norm(values) for values in inputs.values()]))
    found = twice(call_of(problem, "fft"))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14 * norms)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", Conv2d.directions)
@pytest.mark.parametrize("op", [*RAGGED, *TILES], ids=Conv2d.label)
def test_the_errors_of_spectra_are_tolerated(op: Conv2d, direction: Direction, dtype: str) -> None:
    problem = Problem(op, dtype, direction)
    assert error_of(problem, twice(call_of(problem, "fft"))) <= 1


@pytest.mark.parametrize(("dtype", "kind"), [("float32", "complex64"), ("float64", "complex128")])
def test_a_spectrum_is_as_precise_as_its_tensor(
    dtype: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = []

    def noted(spectrum: Tensor, *sizes: Any) -> Tensor:
        kinds.append(str(spectrum.dtype))
        found: Tensor = irfftn(spectrum, *sizes)
        return found

    monkeypatch.setattr(scipy.fft, "irfftn", noted)
    call_of(Problem(RAGGED[0], dtype), "fft")()
    assert kinds == [kind]


def test_a_product_of_spectra_that_goes_around_the_end_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the input alone, without room for its padding: the sums at one edge meet the other's pixels."""
    op = Conv2d(c=2, h=8, w=8, k=3, r=3, s=3, pad=1)
    problem = Problem(op)
    inputs = problem.inputs()
    backend, verifier = NumpyBackend("cpu", 1), Verifier(problem, inputs)
    tensors = [backend.tensor(values, "float32") for values in inputs.values()]
    verifier.check(backend, tensors, call_of(problem, "fft"))
    x, w = (np.fft.rfft2(values, (8, 8)) for values in inputs.values())

    def around_the_end() -> Tensor:
        product = np.einsum("ncij,kcij->nkij", x, w.conj())
        return np.roll(np.fft.irfft2(product, (8, 8)), (1, 1), (2, 3)).astype(np.float32)

    found, expected = around_the_end(), op.reference("forward", inputs)["y"]
    np.testing.assert_allclose(found[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-5)
    with pytest.raises(WrongAnswerError, match="output y is .* instead of"):
        verifier.check(backend, tensors, around_the_end)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("direction", Conv2d.directions)
@pytest.mark.parametrize("op", RAGGED, ids=Conv2d.label)
def test_columns_of_channels_last_give_the_references_answer(
    op: Conv2d, direction: Direction, dtype: str
) -> None:
    problem = Problem(op, dtype, direction)
    assert error_of(problem, twice(call_of(problem, "im2col", "NHWC"))) <= 1


@settings(max_examples=60)
@given(convolutions(), st.sampled_from(Conv2d.directions))
def test_the_layout_changes_no_answer(op: Conv2d, direction: Direction) -> None:
    problem = Problem(op, "float64", direction)
    assert error_of(problem, twice(call_of(problem, "im2col", "NHWC"))) <= 1
    assert error_of(problem, twice(call_of(problem, "im2col"))) <= 1


@pytest.mark.parametrize("direction", Conv2d.directions)
def test_the_output_is_channels_last_where_the_inputs_are(direction: Direction) -> None:
    problem = Problem(Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=3), direction=direction)
    output = call_of(problem, "im2col", "NHWC")()
    _, c, h, w = output.shape
    assert [step // 4 for step in output.strides] == [h * w * c, 1, w * c, c]
    assert call_of(problem, "im2col")().flags.c_contiguous


def test_a_copy_in_channels_last_has_the_same_values_in_memory_of_its_own() -> None:
    backend = NumpyBackend("cpu", 1)
    tensor = backend.tensor(np.arange(120.0).reshape(2, 3, 4, 5), "float32")
    copy = backend.laid_out(tensor, "NHWC")
    assert [step // 4 for step in copy.strides] == [60, 1, 15, 3]
    assert np.array_equal(copy, tensor)
    backend.poison(copy)
    assert tensor.sum() == 119 * 60


def test_a_copy_of_one_channel_shares_no_memory_either() -> None:
    backend = NumpyBackend("cpu", 1)
    tensor = backend.tensor(np.ones((2, 1, 4, 5)), "float32")
    backend.poison(backend.laid_out(tensor, "NHWC"))
    assert tensor.sum() == 40


@pytest.mark.parametrize(("layout", "shape"), [("CHWN", (1, 2, 3, 4)), ("NHWC", (2, 3))])
def test_another_layout_is_refused(layout: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedError) as raised:
        NumpyBackend("cpu", 1).laid_out(np.ones(shape), layout)
    assert str(raised.value) == f"numpy has no layout {layout} for {len(shape)} axes"
