from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checked import check
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dlbench.backends import numba, numpy, torch
from dlbench.backends.backend import BackendSpec, tensors_of
from dlbench.ops.dropout import LAGS, Dropout, allowed
from dlbench.ops.dtypes import Array
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem
from dlbench.runner import verify
from dlbench.runner.verify import WrongAnswerError

N = 4099
SPECS = {spec.name: spec for spec in (numpy.SPEC, numba.SPEC, torch.SPEC)}
Mask = np.ndarray[Any, np.dtype[np.bool_]]


def masked(mask_of: Callable[[np.random.Generator], Array | Mask], p: float = 0.5) -> Callable[..., Any]:
    """Return an implementation that drops out by a mask, drawn anew in each call."""
    rng = np.random.default_rng(0)

    def prepare(x: Any) -> Any:
        def call() -> Any:
            mask = np.asarray(mask_of(rng), bool)
            return np.asarray(x * mask / (1 - p), x.dtype), mask

        return call

    return prepare


def complaint(mask: Array | Mask, p: float = 0.5) -> str:
    op = Dropout(n=mask.size, p=p)
    return op.complaint("forward", {}, {"mask": np.asarray(mask, np.float64)})


def test_dropout_of_a_worked_example() -> None:
    op, x = Dropout(n=4, p=0.75), {"x": np.array([1.0, 2.0, 3.0, 4.0])}
    right = {"y": np.array([4.0, 0.0, 12.0, 0.0]), "mask": np.array([1.0, 0.0, 1.0, 0.0])}
    for seen, reference in zip(
        op.seen("forward", x, right).values(), op.reference("forward", x).values(), strict=True
    ):
        assert seen.tolist() == reference.tolist() == [0.0] * 4
    wrong = right | {"y": np.array([4.0, 0.0, 3.0, 0.0])}
    seen = op.seen("forward", x, wrong)["y"]
    scale = math.sqrt((4**2 + 12**2) / 4)
    assert seen.tolist() == pytest.approx([0.0, 0.0, -9.0 / scale, 0.0])
    gradient = op.reference("backward", {"dy": np.array([1.0, 2.0, 3.0, 4.0]), "mask": right["mask"]})["dx"]
    assert gradient.tolist() == [4.0, 0.0, 12.0, 0.0]


@given(st.integers(1, 3000), st.floats(0, 0.999), st.integers(0, 2**32))
def test_a_random_mask_is_never_complained_of(n: int, p: float, seed: int) -> None:
    assert complaint(np.random.default_rng(seed).random(n) >= p, p) == ""


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_long_random_mask_is_not_complained_of_either(p: float) -> None:
    assert complaint(np.random.default_rng(0).random(1_000_000) >= p, p) == ""


def test_the_allowance_is_six_standard_deviations_where_many_are_expected() -> None:
    assert allowed(0.0) == 0.0
    assert allowed(1e8) == pytest.approx(6e4, rel=1e-3)
    for variance in (0.01, 1.0, 100.0):
        t = allowed(variance)
        assert t**2 / (2 * variance + 2 * t / 3) == pytest.approx(18.0)


def test_the_kept_are_counted() -> None:
    rng = np.random.default_rng(0)
    assert (
        complaint(np.ones(N))
        == "output mask keeps 4099 of 4099 elements; with p = 0.5 about 2050 are to stay"
    )
    assert complaint(np.zeros(N)).startswith("output mask keeps 0 of 4099 elements")
    for kept in (0.4, 0.6):
        assert "with p = 0.5 about 2050 are to stay" in complaint(rng.random(N) < kept)
    assert complaint(rng.random(N) < 0.25, 0.75) == ""
    assert "with p = 0.25 about 3074 are to stay" in complaint(rng.random(N) < 0.25, 0.25)
    assert complaint(np.arange(100) != 7, 0.0) != ""


@pytest.mark.parametrize("period", [2, 4, 8, 64, 256, 1024])
def test_a_mask_that_repeats_itself_is_seen(period: int) -> None:
    half = np.repeat([True, False], period // 2)
    shuffled = np.random.default_rng(period).permutation(half)
    for pattern in (half, shuffled):
        found = complaint(np.resize(pattern, 8192))
        assert "output mask is not random: elements" in found
    assert period in LAGS


def test_neighbours_that_go_together_or_keep_apart_are_seen() -> None:
    assert complaint(np.arange(N) % 2 == 0) == (
        "output mask is not random: elements 1 apart are alike far less often than by chance"
    )
    runs = np.repeat(np.random.default_rng(0).random(N // 2) < 0.5, 2)
    assert (
        complaint(runs)
        == "output mask is not random: elements 1 apart are alike far more often than by chance"
    )


@pytest.mark.parametrize("data", DISTRIBUTIONS)
@pytest.mark.parametrize("p", [0.0, 0.25, 0.9])
def test_a_right_implementation_passes(p: float, data: Distribution) -> None:
    problem = Problem(Dropout(n=N, p=p), data=data)
    assert check(problem, masked(lambda rng: rng.random(N) >= p, p)) <= 1e-6


@pytest.mark.parametrize(
    ("mask_of", "reason"),
    [
        (lambda rng: np.ones(N), "keeps 4099 of 4099"),
        (lambda rng: rng.random(N) >= 0.4, "are to stay"),
        (lambda rng: np.arange(N) % 2, "1 apart"),
        (lambda rng: np.resize(rng.permutation(np.arange(256) % 2), N), "not random: elements"),
    ],
)
def test_a_mask_that_is_not_random_is_caught(mask_of: Callable[..., Array], reason: str) -> None:
    with pytest.raises(WrongAnswerError, match=reason):
        check(Problem(Dropout(n=N)), masked(mask_of))


def unscaled(x: Any) -> Any:
    rng = np.random.default_rng(0)

    def call() -> Any:
        mask = rng.random(N) >= 0.5
        return x * mask, mask

    return call


def another_mask(x: Any) -> Any:
    rng = np.random.default_rng(0)

    def call() -> Any:
        mask, told = rng.random((2, N)) >= 0.5
        return x * mask * np.float32(2), told

    return call


@pytest.mark.parametrize("wrong", [unscaled, another_mask])
@pytest.mark.parametrize("sampled", [False, True])
def test_a_y_that_its_mask_does_not_make_is_caught(
    wrong: Callable[..., Any], sampled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if sampled:
        monkeypatch.setattr(verify, "WHOLE_REFERENCE", 0)
    with pytest.raises(WrongAnswerError, match="output y is .* relative error"):
        check(Problem(Dropout(n=N)), wrong)


def test_a_wrong_gradient_is_caught() -> None:
    problem = Problem(Dropout(n=N, p=0.1), direction="backward")
    assert check(problem, lambda dy, mask: lambda: dy * mask / np.float32(0.9)) <= 1e-6
    with pytest.raises(WrongAnswerError, match="output dx"):
        check(problem, lambda dy, mask: lambda: dy * mask)
    with pytest.raises(WrongAnswerError, match="output dx"):
        check(problem, lambda dy, mask: lambda: dy / np.float32(0.9))


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_two_calls_and_two_preparations_drop_different_elements(spec: BackendSpec) -> None:
    backend, problem = spec.load()("cpu", 1), Problem(Dropout(n=N))
    masks = []
    for one in backend.implementations():
        if one.op == "dropout" and "forward" in one.directions and one.variant != "compiled":
            with backend.activate(one.variant):
                call = one.prepare(problem, *tensors_of(backend, problem, problem.inputs()))
                masks += [backend.host(call()[1]) for _ in range(3)]
    assert len(masks) >= 3
    for i, mask in enumerate(masks):
        for other in masks[:i]:
            assert abs(np.mean(mask == other) - 0.5) < 0.1  # six standard deviations of N fair coins are 0.05


@pytest.mark.slow
def test_two_compiled_calls_drop_different_elements() -> None:
    backend, problem = torch.SPEC.load()("cpu", 1), Problem(Dropout(n=N))
    with backend.activate("compiled"):
        call = backend.find(problem, "compiled").prepare(
            problem, *tensors_of(backend, problem, problem.inputs())
        )
        one, other = (backend.host(call()[1]) for _ in range(2))
    assert abs(np.mean(one == other) - 0.5) < 0.1


def test_counts_are_two_operations_and_a_byte_for_the_mask() -> None:
    op = Dropout(n=10)
    assert (op.flops("forward"), op.flops("backward")) == (20, 20)
    assert (op.traffic("forward", 4), op.traffic("backward", 4)) == (10 * 9, 10 * 9)
    assert (op.label(), Dropout(n=10, p=0.1).label()) == ("10", "10 p 0.1")
    assert op.random
    assert Problem(op).format("mask") == "bool"


@pytest.mark.parametrize("p", [-0.1, 1.0, math.nan])
def test_a_probability_of_all_or_less_than_none_is_refused(p: float) -> None:
    with pytest.raises(ValidationError, match="p"):
        Dropout(n=1, p=p)
