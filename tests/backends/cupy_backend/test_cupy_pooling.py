"""Pooling and normalisation by cupy's array operations, over the stand-in: what the catalogue's test does not look at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ragged import normalization, pooling

from dlbench.backends.backend import tensors_of
from dlbench.ops.normalization import BatchNorm, LayerNorm
from dlbench.ops.op import Direction, Op
from dlbench.ops.pooling import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d
from dlbench.ops.problem import Problem
from dlbench.runner.verify import Verifier

OPS = [op for some in {**pooling.RAGGED, **normalization.RAGGED}.values() for op in some]


def error(backend: Any, problem: Problem, **given: Any) -> float:
    """What verification makes of the library's answer."""
    inputs = problem.inputs() | given
    tensors = tensors_of(backend, problem, inputs)
    call = backend.find(problem, "library").prepare(problem, *tensors)
    return Verifier(problem, inputs).check(backend, tensors, call)


@pytest.mark.parametrize("data", ["uniform", "integers", "zeros"])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_answer_is_the_references_for_every_distribution(
    backend: Any, direction: Direction, data: Any
) -> None:
    for op in OPS:
        for dtype in ("float32", "float16"):
            error(backend, Problem(op, dtype, direction, data))


@pytest.mark.parametrize("data", ["integers", "zeros"])
@pytest.mark.parametrize(
    "op",
    [MaxPool2d(n=2, c=5, h=9, w=8, r=3, s=4, stride=2, pad=1), AdaptiveMaxPool2d(n=2, c=5, h=9, w=8, p=4, q=3)],
    ids=str,
)  # fmt: skip
def test_the_first_of_equal_elements_gets_the_gradient(backend: Any, op: Op, data: Any) -> None:
    dy = np.random.default_rng(0).standard_normal(op.inputs("backward")["dy"])
    assert error(backend, Problem(op, "float64", "backward", data), dy=dy) < 1e-14


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_what_is_behind_the_padding_is_left_out_of_a_mean(backend: Any, direction: Direction) -> None:
    op = AvgPool2d(n=2, c=3, h=9, w=7, r=3, s=2, stride=2, stride_w=3, pad=1, pad_w=0, ceil=True)
    assert error(backend, Problem(op, "float64", direction)) < 1e-14


@pytest.mark.parametrize(
    "op",
    [
        AvgPool2d(c=1, h=64, w=65, r=64, s=64),
        AdaptiveAvgPool2d(c=2, h=1, w=4097, p=1, q=1),
        BatchNorm(n=1, c=2, h=64, w=65),
        LayerNorm(rows=2, cols=4097),
    ],
    ids=str,
)
def test_16_bit_numbers_are_added_up_in_float32(backend: Any, op: Op) -> None:
    roundoff = 2.0**-11
    assert error(backend, Problem(op, "float16", "forward", "uniform")) < 4 * roundoff


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_images_without_padding_are_not_copied(
    backend: Any, module: Any, direction: Direction, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[Any] = []

    def copyto(to: Any, source: Any) -> None:
        copied.append(to.shape)
        np.copyto(to, source)

    monkeypatch.setattr(module("pooling").cupy, "copyto", copyto)
    for pad in (0, 1):
        copied.clear()
        error(backend, Problem(AvgPool2d(c=2, h=8, w=8, r=2, s=2, stride=2, pad=pad), direction=direction))
        assert ((1, 2, 8, 8) in copied) == bool(pad)
