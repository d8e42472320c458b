from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from checked import check
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dlbench.ops.dtypes import FLOATS, Array
from dlbench.ops.indexing import Concat, Embedding, Gather, ScatterAdd
from dlbench.ops.indices import different, out_of_range, repeats
from dlbench.ops.op import DISTRIBUTIONS, Direction, Distribution, Op
from dlbench.ops.problem import Problem
from dlbench.ops.several import MANY
from dlbench.ops.tolerance import tolerance
from dlbench.runner import verify
from dlbench.runner.verify import WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

small = st.integers(1, 9)
embeddings = st.builds(Embedding, n=small, vocab=small, dim=small)
gathers = st.builds(Gather, rows=small, cols=small, n=small)
scatters = st.builds(ScatterAdd, rows=small, cols=small, n=small)
concats = st.builds(Concat, parts=st.integers(1, 4), rows=small, cols=small)
BOTH: tuple[tuple[Op, Direction], ...] = (
    (Embedding(n=40, vocab=10, dim=6), "forward"),
    (Embedding(n=40, vocab=10, dim=6), "backward_weight"),
    (Gather(rows=10, cols=6, n=40), "forward"),
    (Gather(rows=10, cols=6, n=40), "backward"),
    (ScatterAdd(rows=10, cols=6, n=40), "forward"),
)


def inputs_of(op: Op, direction: Direction = "forward") -> dict[str, Array]:
    return Problem(op, "float64", direction).inputs()


def tensors(values: Mapping[str, Array]) -> list[torch.Tensor]:
    """As torch takes them, indices as integers."""
    whole = ("indices", "index")
    return [
        torch.from_numpy(value.copy()).to(torch.int64 if name in whole else torch.float64)
        for name, value in values.items()
    ]


def test_an_embedding_and_its_gradient_of_a_worked_example() -> None:
    op = Embedding(n=3, vocab=4, dim=2)
    indices = np.array([2.0, 0.0, 2.0])
    y = op.reference("forward", {"indices": indices, "table": np.arange(8.0).reshape(4, 2)})["y"]
    assert y.tolist() == [[4, 5], [0, 1], [4, 5]]
    dy = np.array([[1.0, 2.0], [3.0, 4.0], [10.0, 20.0]])
    dtable = op.reference("backward_weight", {"indices": indices, "dy": dy})["dtable"]
    assert dtable.tolist() == [[3, 4], [0, 0], [11, 22], [0, 0]]


def test_a_gather_and_its_gradient_of_a_worked_example() -> None:
    op = Gather(rows=2, cols=3, n=2)
    index = np.array([[0.0, 1.0, 1.0], [0.0, 0.0, 1.0]])
    y = op.reference("forward", {"x": np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), "index": index})["y"]
    assert y.tolist() == [[1, 5, 6], [1, 2, 6]]
    dy = np.array([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    assert op.reference("backward", {"index": index, "dy": dy})["dx"].tolist() == [[11, 20, 0], [0, 2, 33]]


def test_a_scatter_add_of_a_worked_example() -> None:
    op = ScatterAdd(rows=2, cols=2, n=3)
    inputs = {
        "x": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "index": np.array([[0.0, 1.0], [0.0, 1.0], [1.0, 1.0]]),
        "src": np.array([[10.0, 20.0], [30.0, 40.0], [50.0, 60.0]]),
    }
    assert op.reference("forward", inputs)["y"].tolist() == [[41, 2], [53, 124]]
    assert inputs["x"].tolist() == [[1, 2], [3, 4]]


def test_a_concatenation_and_its_gradient_of_a_worked_example() -> None:
    op = Concat(parts=2, rows=2, cols=1)
    x0, x1 = np.array([[1.0], [2.0]]), np.array([[3.0], [4.0]])
    y = op.reference("forward", {"x0": x0, "x1": x1})["y"]
    assert y.tolist() == [[1, 3], [2, 4]]
    apart = op.reference("backward", {"dy": y})
    assert {name: dx.tolist() for name, dx in apart.items()} == {"dx0": x0.tolist(), "dx1": x1.tolist()}
    assert not any(np.shares_memory(y, dx) for dx in apart.values())


@given(embeddings)
def test_an_embedding_is_torchs(op: Embedding) -> None:
    indices, table = tensors(inputs := inputs_of(op))
    y = torch.nn.functional.embedding(indices, table)
    assert np.array_equal(op.reference("forward", inputs)["y"], y.numpy())
    indices, dy = tensors(inputs := inputs_of(op, "backward_weight"))
    table.requires_grad_()
    (dtable,) = torch.autograd.grad(torch.nn.functional.embedding(indices, table), table, dy)
    np.testing.assert_allclose(op.reference("backward_weight", inputs)["dtable"], dtable.numpy(), atol=1e-12)


@given(gathers)
def test_a_gather_is_torchs(op: Gather) -> None:
    x, index = tensors(inputs := inputs_of(op))
    assert np.array_equal(op.reference("forward", inputs)["y"], torch.gather(x, 0, index).numpy())
    index, dy = tensors(inputs := inputs_of(op, "backward"))
    x.requires_grad_()
    (dx,) = torch.autograd.grad(torch.gather(x, 0, index), x, dy)
    np.testing.assert_allclose(op.reference("backward", inputs)["dx"], dx.numpy(), atol=1e-12)


@given(scatters)
def test_a_scatter_add_is_torchs(op: ScatterAdd) -> None:
    x, index, src = tensors(inputs := inputs_of(op))
    y = torch.scatter_add(x, 0, index, src)
    np.testing.assert_allclose(op.reference("forward", inputs)["y"], y.numpy(), atol=1e-12)


@given(concats)
def test_a_concatenation_is_torchs(op: Concat) -> None:
    inputs = inputs_of(op)
    y = op.reference("forward", inputs)["y"]
    assert np.array_equal(y, torch.cat(tensors(inputs), -1).numpy())
    pieces = torch.split(torch.from_numpy(y), op.cols, -1)
    for dx, piece in zip(op.reference("backward", {"dy": y}).values(), pieces, strict=True):
        assert np.array_equal(dx, piece.numpy())


@given(st.one_of(embeddings, gathers, scatters, concats), st.sampled_from(DISTRIBUTIONS))
def test_inputs_and_outputs_have_the_shapes_that_are_said(op: Op, data: Distribution) -> None:
    for direction in op.directions:
        inputs = Problem(op, "float64", direction, data).inputs()
        assert {name: value.shape for name, value in inputs.items()} == op.inputs(direction)
        outputs = op.reference(direction, inputs)
        assert {name: value.shape for name, value in outputs.items()} == op.outputs(direction)


@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_indices_are_uniform_whole_numbers_below_the_rows_whatever_the_data(data: Distribution) -> None:
    for op, name, rows in (
        (Embedding(n=3000, vocab=3, dim=1), "indices", 3),
        (Gather(rows=3, cols=3, n=1000), "index", 3),
        (ScatterAdd(rows=3, cols=3, n=1000), "index", 3),
    ):
        for direction in op.directions:
            problem = Problem(op, "float16", direction, data)
            assert problem.format(name) == "int64"
            counts = np.bincount(problem.inputs()[name].astype(int).ravel())
            assert len(counts) == rows
            assert counts.min() > 900  # of 1000; less has a probability of 1e-4


@pytest.mark.parametrize(("op", "direction"), BOTH, ids=lambda value: getattr(value, "name", value))
def test_single_outputs_are_those_of_the_whole_reference(op: Op, direction: Direction) -> None:
    inputs = inputs_of(op, direction)
    for name, whole in op.reference(direction, inputs).items():
        positions = np.arange(whole.size, dtype=np.intp)
        at = op.reference_at(direction, inputs, name, positions[::-1])
        np.testing.assert_allclose(at, whole.ravel()[::-1], atol=1e-12)


@pytest.mark.parametrize(("op", "direction"), BOTH, ids=lambda value: getattr(value, "name", value))
def test_a_projection_is_that_of_the_reference_and_sees_every_output(op: Op, direction: Direction) -> None:
    inputs, seed = inputs_of(op, direction), 5
    outputs = op.reference(direction, inputs)
    pair = op.projection(direction, inputs, outputs, np.random.default_rng(seed))
    if isinstance(op, Gather) and direction == "forward":
        assert pair is None
        return
    assert pair is not None
    np.testing.assert_allclose(*pair, atol=1e-12)
    ((name, right),) = outputs.items()
    for place in np.ndindex(right.shape):
        wrong = right.copy()
        wrong[place] += 1
        found = op.projection(direction, inputs, {name: wrong}, np.random.default_rng(seed))
        assert found is not None
        assert np.abs(found[0] - found[1]).max() == pytest.approx(1)


def test_the_embeddings_bytes_are_those_of_the_rows_that_are_used() -> None:
    """Of 2 rows, 3 indices leave one out with a probability of 1/4: 1.75 rows are used, rounded 2."""
    op = Embedding(n=3, vocab=2, dim=5)
    assert op.traffic("forward", 4) == 8 * 3 + 4 * (2 + 3) * 5
    assert op.traffic("backward_weight", 4) == 8 * 3 + 4 * (3 + 2) * 5
    one_of_many = Embedding(n=1, vocab=10**6, dim=5)
    assert one_of_many.traffic("forward", 2) == 8 + 2 * (1 + 1) * 5
    assert one_of_many.traffic("backward_weight", 2) == 8 + 2 * (1 + 10**6) * 5
    assert Embedding(n=10**6, vocab=10, dim=5).traffic("forward", 2) == 8 * 10**6 + 2 * (10 + 10**6) * 5


def test_a_gathers_bytes_are_those_of_the_elements_that_are_used() -> None:
    op = Gather(rows=2, cols=5, n=3)
    assert op.traffic("forward", 4) == 5 * (8 * 3 + 4 * (2 + 3))
    assert op.traffic("backward", 4) == 5 * (8 * 3 + 4 * (3 + 2))
    assert ScatterAdd(rows=2, cols=5, n=3).traffic("forward", 4) == 5 * (8 * 3 + 4 * (2 + 3 + 2))
    assert Concat(parts=3, rows=4, cols=5).traffic("forward", 4) == 4 * 2 * 60
    assert Concat(parts=3, rows=4, cols=5).traffic("backward", 4) == 4 * 2 * 60


@given(st.one_of(embeddings, gathers))
def test_no_more_of_a_table_is_counted_than_there_is(op: Embedding | Gather) -> None:
    whole = op.input_bytes("forward", 4) + 4 * math.prod(op.outputs("forward")["y"])
    assert op.traffic("forward", 4) <= whole


def test_additions_are_counted_and_moves_are_not() -> None:
    flops = {
        (op.name, direction): op.flops(direction)
        for op in (Embedding(n=3, vocab=7, dim=5), Gather(rows=7, cols=5, n=3), ScatterAdd(rows=7, cols=5, n=3),
                   Concat(parts=2, rows=3, cols=5))
        for direction in op.directions
    }  # fmt: skip
    assert flops == {
        ("embedding", "forward"): 0,
        ("embedding", "backward_weight"): 15,
        ("gather", "forward"): 0,
        ("gather", "backward"): 15,
        ("scatter_add", "forward"): 15,
        ("concat", "forward"): 0,
        ("concat", "backward"): 0,
    }


def test_labels_name_the_indices_and_the_matrix() -> None:
    ops = Embedding(n=3, vocab=7, dim=5), Gather(rows=7, cols=5, n=3), Concat(parts=2, rows=3, cols=5)
    assert [op.label() for op in ops] == ["3 of 7×5", "3 of 7×5", "2 of 3×5"]


@pytest.mark.parametrize(("draws", "count"), [(1, 1), (5, 1), (1, 9), (8192, 30522), (20000, 100), (50, 50)])
def test_expected_repeats_and_differences_are_those_of_draws(draws: int, count: int) -> None:
    rng, drawn, beyond = np.random.default_rng(1), [], []
    for _ in range(50):
        found = np.bincount(rng.integers(0, count, draws), minlength=count)
        drawn.append((found > 0).sum())
        beyond.append((found > repeats(draws, count)).sum())
    deviation = np.std(drawn) / math.sqrt(len(drawn))
    assert abs(np.mean(drawn) - different(draws, count)) <= 4 * deviation + 0.5
    assert np.mean(beyond) <= 1
    assert math.ceil(draws / count) <= repeats(draws, count) <= draws


def test_the_first_index_out_of_range_is_told() -> None:
    assert out_of_range("y", np.array([[0.0, 4.0]]), 5) == ""
    for wrong in (5.0, -1.0):
        said = f"output y is {wrong:.0f} at position 1, not an index below 5"
        assert out_of_range("y", np.array([[0.0, wrong], [9.0, 0.0]]), 5) == said
    assert out_of_range("y", np.array([np.nan]), 5).startswith("output y is nan at position 0")


def test_the_tolerance_of_sums_by_index_is_that_of_the_most_that_meet() -> None:
    op = Embedding(n=8192, vocab=30522, dim=4)
    assert (op.reduction_length("forward"), op.roundings("forward")) == (1, 1)
    assert op.reduction_length("backward_weight") == op.roundings("backward_weight") == 8
    gather, scatter = Gather(rows=30522, cols=4, n=8192), ScatterAdd(rows=30522, cols=4, n=8192)
    assert gather.reduction_length("backward") == gather.roundings("backward") == 8
    assert (scatter.reduction_length("forward"), scatter.roundings("forward")) == (9, 8)


def dropping(indices: Any, dy: Any) -> Any:
    """What `dtable[indices] += dy` does: of equal indices, the last alone counts."""

    def call() -> Any:
        dtable = np.zeros((10, 6), dy.dtype)
        dtable[indices] += dy
        return dtable

    return call


@pytest.mark.parametrize("dtype", [dtype for dtype in FLOATS if dtype not in ("tf32", "bfloat16")])
@pytest.mark.parametrize("limit", [0, verify.WHOLE_REFERENCE])
def test_an_embedding_gradient_that_drops_equal_indices_is_caught(
    dtype: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "WHOLE_REFERENCE", limit)
    with pytest.raises(WrongAnswerError, match="output dtable is"):
        check(Problem(Embedding(n=40, vocab=10, dim=6), dtype, "backward_weight"), dropping)


def test_one_dropped_index_is_more_than_the_tolerance_of_bfloat16() -> None:
    op = Embedding(n=40, vocab=10, dim=6)
    problem = Problem(op, "bfloat16", "backward_weight")
    inputs = problem.inputs()
    right = op.reference("backward_weight", inputs)["dtable"]
    missing = inputs["dy"][17]
    assert np.abs(missing).max() / np.sqrt(np.mean(right**2)) > tolerance(problem)


def test_a_gather_along_the_other_axis_is_caught() -> None:
    problem = Problem(Gather(rows=5, cols=5, n=5))
    with pytest.raises(WrongAnswerError, match="output y is"):
        check(problem, lambda x, index: lambda: np.take_along_axis(x, index, axis=1))
    assert check(problem, lambda x, index: lambda: np.take_along_axis(x, index, axis=0)) == 0


def test_a_scatter_add_into_its_input_is_caught() -> None:
    def inplace(x: Any, index: Any, src: Any) -> Any:
        def call() -> Any:
            np.add.at(x, (index, np.arange(3)), src)
            return x.copy()

        return call

    with pytest.raises(WrongAnswerError, match="changes its input x"):
        check(Problem(ScatterAdd(rows=5, cols=3, n=2)), inplace)


def test_a_split_in_the_wrong_order_is_caught() -> None:
    with pytest.raises(WrongAnswerError, match="output dx0 is"):
        check(
            Problem(Concat(parts=2, rows=3, cols=4), direction="backward"),
            lambda dy: lambda: (dy[:, 4:].copy(), dy[:, :4].copy()),
        )


def test_more_parts_than_there_can_be_are_refused() -> None:
    with pytest.raises(ValidationError, match=f"less than or equal to {MANY}"):
        Concat(parts=MANY + 1, rows=1, cols=1)
