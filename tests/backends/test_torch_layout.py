"""channels_last: the same numbers in another order in memory."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench.backends.torch import conv
from dlbench.backends.torch.backend import TorchBackend
from dlbench.errors import UnsupportedError
from dlbench.ops.conv import Conv2d
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.ops.tolerance import tolerance

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

RAGGED = (
    Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2, groups=2),
    Conv2d(n=3, c=5, h=6, w=7, k=4, r=1, s=1),
    Conv2d(c=6, h=8, w=8, k=6, r=3, s=3, pad=1, groups=6),
    Conv2d(n=2, c=3, h=1, w=1, k=4, r=1, s=1),
    Conv2d(n=2, c=1, h=5, w=5, k=3, r=3, s=3),
)
extents = st.integers(1, 5)


@pytest.fixture
def backend() -> Iterator[TorchBackend]:
    threads = torch.get_num_threads()
    yield TorchBackend("cpu", 1)
    torch.set_num_threads(threads)


def strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Steps in memory where the channels are next to one another, then a row, then an image."""
    _, c, h, w = shape
    return (h * w * c, 1, w * c, c)


@pytest.mark.parametrize("variant", ["library", "native"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("direction", Conv2d.directions)
@pytest.mark.parametrize("op", RAGGED, ids=Conv2d.label)
def test_a_convolution_of_channels_last_gives_the_references_answer(
    backend: TorchBackend, op: Conv2d, direction: Direction, dtype: str, variant: str
) -> None:
    problem = Problem(op, dtype, direction)
    inputs = problem.inputs()
    tensors = [backend.laid_out(backend.tensor(values, dtype), "NHWC") for values in inputs.values()]
    assert [tensor.stride() for tensor in tensors] == [strides(values.shape) for values in inputs.values()]
    with backend.activate(variant, dtype=dtype):
        call = backend.find(problem, variant, layout="NHWC").prepare(problem, *tensors)
        backend.poison(call())
        output = call()
    (expected,) = op.reference(direction, inputs).values()
    scale = float(np.sqrt(np.mean(expected**2)))
    assert np.abs(backend.host(output) - expected).max() / scale <= tolerance(problem)


@pytest.mark.parametrize("direction", Conv2d.directions)
def test_the_librarys_output_is_channels_last_too(backend: TorchBackend, direction: Direction) -> None:
    problem = Problem(Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=3), direction=direction)
    tensors = [backend.laid_out(backend.tensor(v, "float32"), "NHWC") for v in problem.inputs().values()]
    with backend.activate("library"):
        output = backend.find(problem, "library", layout="NHWC").prepare(problem, *tensors)()
    assert output.stride() == strides(tuple(output.shape))


@pytest.mark.parametrize("layout", ["", "NHWC"])
@pytest.mark.parametrize("direction", ["backward_data", "backward_weight"])
@pytest.mark.parametrize("op", RAGGED, ids=Conv2d.label)
def test_the_tensor_that_gives_only_its_shape_lies_as_the_others_do(
    backend: TorchBackend, monkeypatch: pytest.MonkeyPatch, op: Conv2d, direction: Direction, layout: str
) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        conv, "_gradient", lambda problem, dy, x, w, wanted: seen.extend((x, w)[wanted : wanted + 1])
    )
    problem = Problem(op, direction=direction)
    tensors = [backend.tensor(values, "float32") for values in problem.inputs().values()]
    if layout:
        tensors = [backend.laid_out(tensor, layout) for tensor in tensors]
    getattr(conv, direction)(problem, *tensors)
    (placeholder,) = seen
    plain = torch.empty(placeholder.shape).stride()
    assert placeholder.stride() == (strides(tuple(placeholder.shape)) if layout else plain)


@given(st.tuples(extents, extents, extents, extents))
def test_a_copy_in_channels_last_is_known_as_such_unless_both_orders_are_one(shape: tuple[int, ...]) -> None:
    tensor = torch.arange(float(np.prod(shape))).reshape(shape)
    copy = conv.channels_last(tensor)
    assert torch.equal(copy, tensor)
    assert copy.stride() == strides(shape)
    assert not conv.is_channels_last(tensor)
    assert conv.is_channels_last(copy) == (tensor.stride() != copy.stride())


def test_the_copy_shares_no_memory(backend: TorchBackend) -> None:
    tensor = torch.ones(2, 3, 1, 1)
    backend.poison(backend.laid_out(tensor, "NHWC"))
    assert tensor.sum().item() == 6


@pytest.mark.parametrize(("layout", "shape"), [("CHWN", (1, 2, 3, 4)), ("NHWC", (2, 3))])
def test_another_layout_is_refused(backend: TorchBackend, layout: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(UnsupportedError) as raised:
        backend.laid_out(torch.ones(shape), layout)
    assert str(raised.value) == f"torch has no layout {layout} for {len(shape)} axes"


def test_a_product_has_no_such_layout() -> None:
    with pytest.raises(UnsupportedError, match="^torch:library has no layout NHWC$"):
        TorchBackend.find(Problem(Matmul(m=2, n=2, k=2)), "library", layout="NHWC")
