from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlbench.backends import numpy
from dlbench.backends import torch as torch_backend
from dlbench.backends.backend import tensors_of
from dlbench.errors import ProblemError
from dlbench.ops.dtypes import rounded
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem
from dlbench.ops.quantized import MOST_TERMS, Fp8Matmul, Int8Matmul
from dlbench.ops.tolerance import SAFETY, tolerance
from dlbench.runner import verify
from dlbench.runner.verify import Verifier, WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

small = st.integers(1, 7)
FP8 = "float8_e4m3fn"
EXACT = Problem(Int8Matmul(m=40, n=30, k=20), "int8")
SCALED = Problem(Fp8Matmul(m=40, n=30, k=64), FP8)


def int8(op: Int8Matmul) -> Problem:
    return Problem(op, "int8")


def fp8(op: Fp8Matmul) -> Problem:
    return Problem(op, FP8)


products = st.builds(Int8Matmul, m=small, n=small, k=small).map(int8) | st.builds(
    Fp8Matmul, m=small, n=small, k=small
).map(fp8)


@given(products)
def test_shapes_are_those_that_are_declared(problem: Problem) -> None:
    inputs = problem.inputs()
    assert {name: values.shape for name, values in inputs.items()} == problem.op.inputs("forward")
    c = problem.op.reference("forward", inputs)["c"]
    assert c.shape == problem.op.outputs("forward")["c"]


@given(products)
def test_single_outputs_equal_the_whole_reference(problem: Problem) -> None:
    inputs = problem.inputs()
    c = problem.op.reference("forward", inputs)["c"]
    single = problem.op.reference_at("forward", inputs, "c", np.arange(c.size))
    np.testing.assert_allclose(single, c.ravel(), rtol=1e-12, atol=1e-12)


@given(products, st.data())
def test_the_projection_agrees_on_a_right_answer_and_on_no_wrong_one(
    problem: Problem, data: st.DataObject
) -> None:
    inputs = problem.inputs()
    c = problem.op.reference("forward", inputs)["c"]
    wrong = c.copy()
    wrong.ravel()[data.draw(st.integers(0, c.size - 1))] += 1
    right = problem.op.projection("forward", inputs, {"c": c}, np.random.default_rng(0))
    bad = problem.op.projection("forward", inputs, {"c": wrong}, np.random.default_rng(0))
    assert right is not None
    assert bad is not None
    np.testing.assert_allclose(*right, rtol=1e-11, atol=1e-11)
    assert np.abs(bad[0] - bad[1]).max() == pytest.approx(1)


def test_a_product_of_whole_numbers_is_exact() -> None:
    inputs = {"a": np.array([[127.0, -127.0]]), "b": np.array([[127.0, 1.0], [-127.0, 2.0]])}
    assert Int8Matmul(m=1, n=2, k=2).reference("forward", inputs)["c"].tolist() == [[2 * 127 * 127, -127]]


@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_whole_numbers_are_drawn_between_plus_and_minus_127(data: Distribution) -> None:
    for values in Problem(Int8Matmul(m=200, n=100, k=100), "int8", data=data).inputs().values():
        assert np.array_equal(rounded(values, "int8"), values)
        assert np.abs(values).max() <= 127
        assert data != "uniform" or values.min() == 0
        assert data not in ("normal", "uniform") or np.abs(values).max() > 100
        assert data != "normal" or np.std(values) == pytest.approx(32, rel=0.05)


def test_a_sum_is_no_longer_than_int32_holds() -> None:
    assert MOST_TERMS * 127**2 <= 2**31 - 1 < (MOST_TERMS + 1) * 127**2
    assert Int8Matmul(m=1, n=1, k=MOST_TERMS).k == MOST_TERMS
    with pytest.raises(ProblemError, match=f"int8_matmul 1×1×{MOST_TERMS + 1}: .*; {MOST_TERMS} is the most"):
        Int8Matmul(m=1, n=1, k=MOST_TERMS + 1)


def test_operands_count_one_byte_and_results_what_they_are_put_out_in() -> None:
    whole, scaled = int8(Int8Matmul(m=2, n=3, k=4)), fp8(Fp8Matmul(m=2, n=3, k=4))
    assert (whole.flops, whole.traffic) == (48, 2 * 4 + 4 * 3 + 4 * (2 * 3))
    assert (scaled.flops, scaled.traffic) == (48, 2 * 4 + 3 * 4 + 4 + 4 + 2 * (2 * 3))
    assert (whole.label, scaled.label) == ("int8_matmul 2×3×4", "fp8_matmul 2×3×4")
    assert (whole.format("a"), whole.format("c")) == ("int8", "int32")
    assert (scaled.format("b"), scaled.format("scale_b"), scaled.format("c")) == (FP8, "float32", "bfloat16")


def test_a_product_of_eight_bits_is_scaled_by_both_scales() -> None:
    inputs = {
        "a": np.array([[1.0, 2.0]]),
        "b": np.array([[3.0, 4.0], [5.0, -6.0]]),
        "scale_a": np.array([0.5]),
        "scale_b": np.array([4.0]),
    }
    assert Fp8Matmul(m=1, n=2, k=2).reference("forward", inputs)["c"].tolist() == [[22.0, -14.0]]


@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_operands_are_numbers_of_eight_bits_and_scales_of_float32(data: Distribution) -> None:
    inputs = Problem(Fp8Matmul(m=20, n=30, k=40), FP8, data=data).inputs()
    for name in ("a", "b"):
        assert np.array_equal(rounded(inputs[name], FP8), inputs[name])
    for name in ("scale_a", "scale_b"):
        assert np.array_equal(rounded(inputs[name], "float32"), inputs[name])
        assert 0.5 <= inputs[name][0] < 2
    assert inputs["scale_a"] != inputs["scale_b"]


@given(st.builds(Fp8Matmul, m=small, n=small, k=small))
def test_the_reference_is_the_product_of_torchs_eight_bit_numbers(op: Fp8Matmul) -> None:
    inputs = fp8(op).inputs()
    a, b = (torch.from_numpy(inputs[name]).to(torch.float8_e4m3fn).double() for name in ("a", "b"))
    expected = float(inputs["scale_a"][0]) * float(inputs["scale_b"][0]) * (a @ b.T).numpy()
    np.testing.assert_allclose(op.reference("forward", inputs)["c"], expected, rtol=1e-12, atol=1e-12)


def test_the_tolerance_is_that_of_a_product_rounded_to_bfloat16() -> None:
    assert tolerance(SCALED) == SAFETY * (2.0**-8 + 2.0**-24 * math.sqrt(64))
    assert tolerance(EXACT) == 0


def check(problem: Problem, compute: Any) -> float:
    spec = numpy.SPEC if problem.dtype == "int8" else torch_backend.SPEC
    backend = spec.load()("cpu", 1)
    inputs = problem.inputs()
    tensors = tensors_of(backend, problem, inputs)
    return Verifier(problem, inputs).check(backend, tensors, lambda: compute(*tensors))


def exact(a: Any, b: Any) -> Any:
    return a.astype(np.int32) @ b.astype(np.int32)


def off_by_one(a: Any, b: Any) -> Any:
    c = exact(a, b)
    c[17, 11] += 1
    return c


def saturated(a: Any, b: Any) -> Any:
    """Sums that stop at the largest number of 16 bits, as those of some vector instructions do."""
    return np.clip(exact(a, b), -(2**15), 2**15 - 1).astype(np.int32)


@pytest.mark.parametrize("whole", [True, False])
def test_whole_numbers_are_compared_exactly(whole: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not whole:
        monkeypatch.setattr(verify, "WHOLE_REFERENCE", 0)
        monkeypatch.setattr(verify, "SAMPLED_OUTPUTS", 2)
    assert check(EXACT, exact) == 0
    with pytest.raises(WrongAnswerError):
        check(EXACT, off_by_one)
    with pytest.raises(WrongAnswerError):
        check(Problem(EXACT.op, "int8", data="uniform"), saturated)


def test_a_product_left_in_eight_bits_is_caught() -> None:
    with pytest.raises(WrongAnswerError, match="output c is int8 instead of int32"):
        check(EXACT, lambda a, b: a @ b)


def scaled_product(a: Any, b: Any, scale_a: Any, scale_b: Any) -> Any:
    return (a.double() @ b.double().mT * scale_a * scale_b).to(torch.bfloat16)


def test_the_nearest_answer_in_bfloat16_passes_with_room() -> None:
    assert 0 < check(SCALED, scaled_product) < tolerance(SCALED) / 2


@pytest.mark.parametrize(
    "wrong",
    [
        lambda a, b, scale_a, scale_b: (a.double() @ b.double().mT * scale_a).to(torch.bfloat16),
        lambda a, b, scale_a, scale_b: (a.double() @ b.double().mT * scale_a * scale_b**2).to(torch.bfloat16),
        lambda a, b, scale_a, scale_b: (
            scaled_product(a, b, scale_a, scale_b).to(torch.float8_e4m3fn).to(torch.bfloat16)
        ),
        lambda a, b, scale_a, scale_b: scaled_product(a[:, :-1], b[:, :-1], scale_a, scale_b),
    ],
    ids=["a scale forgotten", "a scale taken twice", "rounded to eight bits", "a term left out"],
)
def test_a_wrong_scaled_product_is_caught(wrong: Any) -> None:
    with pytest.raises(WrongAnswerError, match="output c is"):
        check(SCALED, wrong)
