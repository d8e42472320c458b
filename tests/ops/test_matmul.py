from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_strategies import matmuls
from pydantic import ValidationError

from dlbench.backends import numpy
from dlbench.backends.backend import tensors_of
from dlbench.ops.dtypes import Array
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.runner.verify import Verifier, WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.utils.flop_counter import FlopCounterMode


def given_and_answer(op: Matmul) -> tuple[dict[str, Array], Array]:
    inputs = Problem(op, "float64").inputs()
    return inputs, op.reference("forward", inputs)["c"]


@given(matmuls)
def test_flops_agree_with_torch(op: Matmul) -> None:
    shapes = op.inputs("forward")
    a, b = (torch.empty(shapes[name], device="meta") for name in ("a", "b"))
    with FlopCounterMode(display=False) as counter:
        torch.matmul(a.mT if op.trans_a else a, b.mT if op.trans_b else b)
    assert op.flops("forward") == counter.get_total_flops()


@given(matmuls)
def test_the_reference_is_the_textbook_sum(op: Matmul) -> None:
    inputs, c = given_and_answer(op)
    a, b = (inputs[name].reshape(op.batch, *inputs[name].shape[-2:]) for name in ("a", "b"))
    indices = f"z{'ki' if op.trans_a else 'ik'},z{'jk' if op.trans_b else 'kj'}->zij"
    expected = op.alpha * np.einsum(indices, a, b).reshape(c.shape)
    if op.beta != 0:
        expected += op.beta * inputs["c0"]
    np.testing.assert_allclose(c, expected, rtol=1e-12, atol=1e-12)


@given(matmuls.filter(lambda op: op.beta != 0))
def test_the_reference_is_torchs_baddbmm(op: Matmul) -> None:
    inputs, c = given_and_answer(op)
    a, b, c0 = (torch.from_numpy(values).reshape(op.batch, *values.shape[-2:]) for values in inputs.values())
    left, right = a.mT if op.trans_a else a, b.mT if op.trans_b else b
    expected = torch.baddbmm(c0, left, right, alpha=op.alpha, beta=op.beta).reshape(c.shape)
    np.testing.assert_allclose(c, expected.numpy(), rtol=1e-12, atol=1e-12)


@given(matmuls)
def test_shapes_are_those_that_are_declared(op: Matmul) -> None:
    inputs, c = given_and_answer(op)
    assert {name: values.shape for name, values in inputs.items()} == op.inputs("forward")
    assert c.shape == op.outputs("forward")["c"]


def test_only_a_batch_has_a_batch_axis() -> None:
    assert Matmul(m=2, n=3, k=4).outputs("forward") == {"c": (2, 3)}
    assert Matmul(m=2, n=3, k=4, batch=5).outputs("forward") == {"c": (5, 2, 3)}


def test_a_transposed_operand_is_stored_transposed() -> None:
    assert Matmul(m=2, n=3, k=4, trans_a=True, trans_b=True).inputs("forward") == {"a": (4, 2), "b": (3, 4)}


def test_traffic_is_each_matrix_once() -> None:
    assert Matmul(m=2, n=3, k=4, batch=5).traffic("forward", 8) == 8 * 5 * (2 * 4 + 4 * 3 + 2 * 3)


def test_what_is_added_is_read_too_and_is_a_term_of_each_sum() -> None:
    op = Matmul(m=2, n=3, k=4, beta=0.5)
    assert op.traffic("forward", 8) == 8 * (2 * 4 + 4 * 3 + 2 * (2 * 3))
    assert (op.flops("forward"), op.reduction_length("forward")) == (48, 5)


def test_only_a_beta_asks_for_a_third_matrix() -> None:
    assert Matmul(m=2, n=3, k=4, batch=5, beta=1.0).inputs("forward")["c0"] == (5, 2, 3)
    assert list(Matmul(m=2, n=3, k=4, alpha=2.0).inputs("forward")) == ["a", "b"]


def test_a_worked_example_with_alpha_and_beta() -> None:
    inputs = {"a": np.array([[1.0, 2.0]]), "b": np.array([[3.0], [4.0]]), "c0": np.array([[10.0]])}
    assert Matmul(m=1, n=1, k=2, alpha=2.0, beta=-0.5).reference("forward", inputs)["c"].tolist() == [[17.0]]


@pytest.mark.parametrize("factor", ["alpha", "beta"])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_factor_that_is_no_number_is_refused(factor: str, value: float) -> None:
    with pytest.raises(ValidationError, match="finite"):
        Matmul.model_validate({"m": 1, "n": 1, "k": 1, factor: value})


def test_a_plain_product_has_the_key_that_it_had_before_there_were_alpha_and_beta() -> None:
    assert Problem(Matmul(m=2, n=3, k=4, batch=3, trans_a=True)).key == (
        'matmul|{"batch": 3, "k": 4, "m": 2, "n": 3, "trans_a": true, "trans_b": false}|float32|forward|normal'
    )


def test_a_scaled_product_has_a_key_of_its_own() -> None:
    scaled = Problem(Matmul(m=2, n=3, k=4, batch=3, trans_a=True, alpha=2.0, beta=0.5))
    assert scaled.params == (
        '{"alpha": 2.0, "batch": 3, "beta": 0.5, "k": 4, "m": 2, "n": 3, "trans_a": true, "trans_b": false}'
    )


@pytest.mark.parametrize("op", [Matmul(m=9, n=5, k=7, beta=-1.5), Matmul(m=9, n=5, k=7, alpha=1.1)])
def test_a_product_that_forgets_its_factors_is_caught(op: Matmul) -> None:
    backend = numpy.SPEC.load()("cpu", 1)
    problem = Problem(op)
    inputs = problem.inputs()
    tensors = tensors_of(backend, problem, inputs)
    with pytest.raises(WrongAnswerError, match="output c is"):
        Verifier(problem, inputs).check(backend, tensors, lambda: tensors[0] @ tensors[1])


@given(matmuls)
def test_single_outputs_equal_the_whole_reference(op: Matmul) -> None:
    inputs, c = given_and_answer(op)
    single = op.reference_at("forward", inputs, "c", np.arange(c.size))
    np.testing.assert_allclose(single, c.ravel(), rtol=1e-12, atol=1e-12)


@given(matmuls, st.data())
def test_the_projection_agrees_on_a_right_answer_and_on_no_wrong_one(op: Matmul, data: st.DataObject) -> None:
    inputs, c = given_and_answer(op)
    wrong = c.copy()
    wrong.ravel()[data.draw(st.integers(0, c.size - 1))] += 1
    right = op.projection("forward", inputs, {"c": c}, np.random.default_rng(0))
    bad = op.projection("forward", inputs, {"c": wrong}, np.random.default_rng(0))
    assert right is not None
    assert bad is not None
    np.testing.assert_allclose(*right, rtol=1e-11, atol=1e-11)
    assert np.abs(bad[0] - bad[1]).max() == pytest.approx(1)


@pytest.mark.parametrize(("m", "n"), [(2, 500), (500, 2)])
def test_the_projection_sums_over_the_shorter_axis(m: int, n: int) -> None:
    op = Matmul(m=m, n=n, k=3)
    inputs, c = given_and_answer(op)
    pair = op.projection("forward", inputs, {"c": c}, np.random.default_rng(0))
    assert pair is not None
    assert pair[0].shape == pair[1].shape == (500,)


@pytest.mark.parametrize(
    ("op", "label"),
    [
        (Matmul(m=64, n=128, k=256), "64×128×256"),
        (Matmul(m=64, n=128, k=256, trans_b=True), "64×128×256 NT"),
        (Matmul(m=64, n=128, k=256, batch=8, trans_a=True), "8 of 64×128×256 TN"),
        (Matmul(m=64, n=128, k=256, alpha=0.5), "64×128×256 alpha 0.5"),
        (Matmul(m=64, n=128, k=256, trans_b=True, alpha=2.0, beta=-1.0), "64×128×256 NT alpha 2.0 beta -1.0"),
    ],
)
def test_the_label_names_what_differs_from_the_default(op: Matmul, label: str) -> None:
    assert op.label() == label


@given(matmuls, matmuls)
def test_different_products_have_different_labels(one: Matmul, other: Matmul) -> None:
    assert (one.label() == other.label()) == (one == other)
