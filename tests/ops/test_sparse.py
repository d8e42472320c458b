from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dlbench.backends import numpy
from dlbench.backends.backend import tensors_of
from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array
from dlbench.ops.problem import Problem
from dlbench.ops.sparse import Sparse24, SpMM, pruned
from dlbench.runner import verify
from dlbench.runner.verify import Verifier, WrongAnswerError

small = st.integers(1, 7)
sparsities = st.sampled_from([0.0, 0.25, 0.5, 0.8])


def stored(m: int, k: int, sparsity: float) -> bool:
    return round(m * k * (1 - sparsity)) > 0


@st.composite
def csr_products(draw: st.DrawFn) -> SpMM:
    m, n, k = draw(small), draw(small), draw(small)
    return SpMM(m=m, n=n, k=k, sparsity=draw(sparsities.filter(lambda share: stored(m, k, share))))


products24 = st.builds(Sparse24, m=small, n=small, k=st.integers(1, 4).map(lambda groups: 4 * groups))


def dense(op: SpMM, inputs: dict[str, Array]) -> Array:
    """The sparse matrix with its zeros."""
    starts, columns = inputs["starts"].astype(int), inputs["columns"].astype(int)
    a = np.zeros((op.m, op.k))
    for row in range(op.m):
        for place in range(starts[row], starts[row + 1]):
            a[row, columns[place]] += inputs["values"][place]
    return a


@given(csr_products())
def test_the_reference_is_the_product_of_the_dense_matrix(op: SpMM) -> None:
    inputs = Problem(op, "float64").inputs()
    expected = dense(op, inputs) @ inputs["b"]
    np.testing.assert_allclose(op.reference("forward", inputs)["c"], expected, rtol=1e-12, atol=1e-12)


@given(csr_products())
def test_each_row_has_ascending_columns_and_at_most_one_element_more_than_another(op: SpMM) -> None:
    inputs = Problem(op).inputs()
    assert {name: values.shape for name, values in inputs.items()} == op.inputs("forward")
    starts = inputs["starts"].astype(int)
    assert (starts[0], starts[-1]) == (0, op.nnz)
    counts = np.diff(starts)
    assert counts.max() - counts.min() <= 1
    assert counts.max() == op.reduction_length("forward")
    for row in range(op.m):
        columns = inputs["columns"][starts[row] : starts[row + 1]]
        assert (np.diff(columns) > 0).all()
        assert ((columns >= 0) & (columns < op.k)).all()


def test_the_pattern_is_that_of_the_seed() -> None:
    problem = Problem(SpMM(m=20, n=1, k=50, sparsity=0.8))
    one, again, other = problem.inputs(1), problem.inputs(1), problem.inputs(2)
    assert np.array_equal(one["columns"], again["columns"])
    assert not np.array_equal(one["columns"], other["columns"])


def test_the_elements_are_everywhere_in_the_matrix() -> None:
    columns = Problem(SpMM(m=200, n=1, k=50, sparsity=0.8)).inputs()["columns"]
    assert set(columns.tolist()) == set(range(50))
    assert np.bincount(columns.astype(int)).max() < 2 * 2000 / 50


def test_counts_are_of_what_is_stored() -> None:
    op = SpMM(m=4, n=3, k=10, sparsity=0.7)
    assert (op.nnz, op.flops("forward")) == (12, 2 * 12 * 3)
    assert op.traffic("forward", 4) == 12 * (4 + 8) + 5 * 8 + 4 * (10 * 3 + 4 * 3)
    assert SpMM(m=4, n=3, k=10, sparsity=0.0).nnz == 40


@pytest.mark.parametrize("sparsity", [1.0, -0.1, float("nan")])
def test_a_sparsity_that_is_no_share_is_refused(sparsity: float) -> None:
    with pytest.raises(ValidationError, match="sparsity"):
        SpMM(m=4, n=3, k=10, sparsity=sparsity)


def test_a_matrix_of_which_nothing_is_left_is_refused() -> None:
    with pytest.raises(ProblemError) as raised:
        SpMM(m=2, n=3, k=4, sparsity=0.99)
    assert str(raised.value) == "spmm 2×3×4 sparsity 0.99: none of the 8 elements of a is left"


@given(csr_products())
def test_single_outputs_equal_the_whole_reference(op: SpMM) -> None:
    inputs = Problem(op, "float64").inputs()
    c = op.reference("forward", inputs)["c"]
    single = op.reference_at("forward", inputs, "c", np.arange(c.size))
    np.testing.assert_allclose(single, c.ravel(), rtol=1e-12, atol=1e-12)


@given(csr_products(), st.data())
def test_the_projection_agrees_on_a_right_answer_and_on_no_wrong_one(op: SpMM, data: st.DataObject) -> None:
    inputs = Problem(op, "float64").inputs()
    c = op.reference("forward", inputs)["c"]
    wrong = c.copy()
    wrong.ravel()[data.draw(st.integers(0, c.size - 1))] += 1
    right = op.projection("forward", inputs, {"c": c}, np.random.default_rng(0))
    bad = op.projection("forward", inputs, {"c": wrong}, np.random.default_rng(0))
    assert right is not None
    assert bad is not None
    np.testing.assert_allclose(*right, rtol=1e-11, atol=1e-11)
    assert np.abs(bad[0] - bad[1]).max() == pytest.approx(1)


def test_labels_name_the_sizes_and_the_share_of_zeros() -> None:
    assert SpMM(m=64, n=8, k=32, sparsity=0.9).label() == "64×8×32 sparsity 0.9"
    assert Sparse24(m=64, n=8, k=32).label() == "64×8×32"


def prepared(problem: Problem, variant: str, inputs: dict[str, Array]) -> Any:
    backend = numpy.SPEC.load()("cpu", 1)
    return backend.find(problem, variant).prepare(problem, *tensors_of(backend, problem, inputs))


@pytest.mark.parametrize("variant", ["library", "native"])
def test_rows_may_be_empty_or_full(variant: str) -> None:
    """As they never are of the matrices that are drawn: none at the ends, all in the middle."""
    op = SpMM(m=5, n=2, k=3, sparsity=0.6)
    inputs = {
        "values": np.arange(1.0, 7.0),
        "columns": np.array([0.0, 1.0, 2.0, 0.0, 1.0, 2.0]),
        "starts": np.array([0.0, 0.0, 3.0, 3.0, 6.0, 6.0]),
        "b": np.array([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]),
    }
    c = prepared(Problem(op), variant, inputs)()
    assert c.tolist() == [[0.0, 0.0], [14.0, 140.0], [0.0, 0.0], [32.0, 320.0], [0.0, 0.0]]


def check(problem: Problem, compute: Any) -> float:
    backend = numpy.SPEC.load()("cpu", 1)
    inputs = problem.inputs()
    tensors = tensors_of(backend, problem, inputs)
    return Verifier(problem, inputs).check(backend, tensors, lambda: compute(*tensors))


@pytest.mark.parametrize("whole", [True, False])
def test_a_product_that_leaves_out_one_stored_element_is_caught(
    whole: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not whole:
        monkeypatch.setattr(verify, "WHOLE_REFERENCE", 0)

    def compute(left_out: int, values: Any, columns: Any, starts: Any, b: Any) -> Any:
        kept = np.arange(values.size) != left_out
        rows = np.repeat(np.arange(starts.size - 1), np.diff(starts))
        c = np.zeros((starts.size - 1, b.shape[1]), b.dtype)
        np.add.at(c, rows[kept], values[kept, None] * b[columns[kept]])
        return c

    problem = Problem(SpMM(m=30, n=20, k=40, sparsity=0.8))
    assert check(problem, lambda *given: compute(-1, *given)) < 1e-6
    with pytest.raises(WrongAnswerError):
        check(problem, lambda *given: compute(100, *given))


def test_of_each_four_neighbours_the_two_smallest_are_pruned() -> None:
    a = np.array([[1.0, -4.0, 3.0, 2.0, 0.0, 0.5, -0.25, 0.0], [5.0, 5.0, 5.0, 5.0, -1.0, 2.0, -3.0, 4.0]])
    assert pruned(a).tolist() == [
        [0.0, -4.0, 3.0, 0.0, 0.0, 0.5, -0.25, 0.0],
        [0.0, 0.0, 5.0, 5.0, 0.0, 0.0, -3.0, 4.0],
    ]


@given(products24)
def test_the_matrix_that_is_drawn_has_two_zeros_in_each_four_neighbours(op: Sparse24) -> None:
    a = Problem(op).inputs()["a"]
    assert a.shape == op.inputs("forward")["a"]
    assert ((a.reshape(op.m, -1, 4) != 0).sum(axis=-1) == 2).all()


@given(products24)
def test_a_pruned_product_is_that_of_the_matrix_with_its_zeros(op: Sparse24) -> None:
    inputs = Problem(op, "float64").inputs()
    c = op.reference("forward", inputs)["c"]
    np.testing.assert_allclose(c, inputs["a"] @ inputs["b"], rtol=1e-12, atol=1e-12)
    single = op.reference_at("forward", inputs, "c", np.arange(c.size))
    np.testing.assert_allclose(single, c.ravel(), rtol=1e-12, atol=1e-12)
    pair = op.projection("forward", inputs, {"c": c}, np.random.default_rng(0))
    assert pair is not None
    np.testing.assert_allclose(*pair, rtol=1e-11, atol=1e-11)


def test_a_pruned_product_counts_the_dense_operations_and_the_compressed_bytes() -> None:
    op = Sparse24(m=16, n=3, k=8)
    assert (op.flops("forward"), op.reduction_length("forward")) == (2 * 16 * 3 * 8, 4)
    assert op.traffic("forward", 2) == 2 * (16 * 4 + 8 * 3 + 16 * 3) + 16 * 4 * 2 // 8


def test_columns_that_are_no_groups_of_four_are_refused() -> None:
    with pytest.raises(ProblemError) as raised:
        Sparse24(m=2, n=3, k=6)
    assert str(raised.value) == "sparse24 2×3×6: 6 columns of a are no multiple of 4"


def test_a_product_with_a_matrix_pruned_once_more_is_caught() -> None:
    def compute(a: Any, b: Any) -> Any:
        thinner = a.copy()
        thinner[0, np.flatnonzero(a[0])[0]] = 0
        return thinner @ b

    with pytest.raises(WrongAnswerError, match="output c is"):
        check(Problem(Sparse24(m=8, n=8, k=16)), compute)
