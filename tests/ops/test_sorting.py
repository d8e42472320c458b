from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from checked import check
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array
from dlbench.ops.op import DISTRIBUTIONS, Distribution
from dlbench.ops.problem import Problem
from dlbench.ops.sorting import CANDIDATES, DECIMALS, JITTER, SIDES, Argsort, Nms, Topk, sorting_comparisons
from dlbench.runner import verify
from dlbench.runner.verify import WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

small = st.integers(1, 9)
LARGEST_UNION = 2 * (SIDES[1] + 2 * JITTER) ** 2
TOPK = Problem(Topk(rows=4, cols=20, k=5))
ARGSORT = Problem(Argsort(rows=4, cols=20))


@st.composite
def topks(draw: st.DrawFn) -> Topk:
    cols = draw(small)
    return Topk(rows=draw(small), cols=cols, k=draw(st.integers(1, cols)))


def mask(op: Nms, boxes: Sequence[Sequence[int]], scores: Sequence[float]) -> list[bool]:
    inputs = {"boxes": np.array(boxes, dtype=float), "scores": np.array(scores)}
    return [bool(kept) for kept in op.reference("forward", inputs)["keep"]]


def test_the_top_k_of_a_worked_example() -> None:
    op, x = Topk(rows=2, cols=4, k=2), np.array([[1.0, 4.0, 2.0, 3.0], [9.0, 7.0, 9.0, 8.0]])
    expected = op.reference("forward", {"x": x})
    assert expected["values"].tolist() == expected["indices"].tolist() == [[4, 3], [9, 9]]
    for columns in ([[1, 3], [0, 2]], [[1, 3], [2, 0]]):
        found = {"values": expected["values"], "indices": np.array(columns, dtype=float)}
        assert op.complaint("forward", {"x": x}, found) == ""
        seen = op.seen("forward", {"x": x}, found)
        assert {name: value.tolist() for name, value in seen.items()} == {
            "values": [[4, 3], [9, 9]],
            "indices": [[4, 3], [9, 9]],
        }


def test_the_order_of_a_worked_example() -> None:
    op, x = Argsort(rows=1, cols=4), np.array([[5.0, -1.0, 5.0, 0.0]])
    assert op.reference("forward", {"x": x})["indices"].tolist() == [[-1, 0, 5, 5]]
    for columns in ([1, 3, 0, 2], [1, 3, 2, 0]):
        found = {"indices": np.array([columns], dtype=float)}
        assert op.complaint("forward", {"x": x}, found) == ""
        assert op.seen("forward", {"x": x}, found)["indices"].tolist() == [[-1, 0, 5, 5]]


@given(topks(), st.sampled_from(DISTRIBUTIONS))
def test_the_top_k_are_torchs(op: Topk, data: Distribution) -> None:
    x = Problem(op, "float64", data=data).inputs()["x"]
    values, indices = torch.topk(torch.from_numpy(x), op.k)
    expected = op.reference("forward", {"x": x})
    assert np.array_equal(expected["values"], values.numpy())
    found = {"values": values.numpy(), "indices": indices.double().numpy()}
    assert op.complaint("forward", {"x": x}, found) == ""
    assert np.array_equal(op.seen("forward", {"x": x}, found)["indices"], expected["indices"])
    assert {name: value.shape for name, value in expected.items()} == op.outputs("forward")


@given(st.builds(Argsort, rows=small, cols=small), st.sampled_from(DISTRIBUTIONS))
def test_an_order_is_torchs(op: Argsort, data: Distribution) -> None:
    x = Problem(op, "float64", data=data).inputs()["x"]
    found = {"indices": torch.argsort(torch.from_numpy(x), -1).double().numpy()}
    assert op.complaint("forward", {"x": x}, found) == ""
    expected = op.reference("forward", {"x": x})["indices"]
    assert np.array_equal(op.seen("forward", {"x": x}, found)["indices"], expected)


@pytest.mark.parametrize("op", [Topk(rows=6, cols=9, k=4), Argsort(rows=6, cols=9)], ids=lambda op: op.name)
def test_single_outputs_are_those_of_the_whole_reference(op: Topk | Argsort) -> None:
    inputs = Problem(op).inputs()
    for name, whole in op.reference("forward", inputs).items():
        positions = np.arange(whole.size, dtype=np.intp)[::-1]
        assert np.array_equal(op.reference_at("forward", inputs, name, positions), whole.ravel()[positions])


def test_comparisons_are_those_of_a_merge_sort() -> None:
    assert [sorting_comparisons(count) for count in (1, 2, 3, 4, 5, 1024, 1025)] == [
        0, 2, 6, 8, 15, 10 * 1024, 11 * 1025,
    ]  # fmt: skip
    assert Topk(rows=3, cols=10, k=4).flops("forward") == 3 * (10 + 8)
    assert Argsort(rows=3, cols=4).flops("forward") == 3 * 8


def test_bytes_are_a_read_of_the_matrix_and_a_write_of_what_is_found() -> None:
    assert Topk(rows=3, cols=10, k=4).traffic("forward", 4) == 4 * 30 + (4 + 8) * 12
    assert Argsort(rows=3, cols=4).traffic("forward", 2) == 2 * 12 + 8 * 12
    assert Nms(n=10).traffic("forward", 4) == 4 * (40 + 10) + 10


def test_labels() -> None:
    ops = Topk(rows=3, cols=10, k=4), Argsort(rows=3, cols=4), Nms(n=10, threshold=0.45)
    assert [op.label() for op in ops] == ["4 of 3×10", "3×4", "10 boxes, IoU 0.45"]


def test_more_elements_than_a_row_has_are_refused() -> None:
    with pytest.raises(ProblemError, match=r"^topk 5 of 2×4: rows of 4 elements have no 5 largest$"):
        Topk(rows=2, cols=4, k=5)


def right_topk(x: Any) -> Any:
    def call() -> Any:
        columns = np.argsort(x, axis=-1)[:, :-6:-1]
        return np.take_along_axis(x, columns, axis=-1), columns.copy()

    return call


def unsorted_topk(x: Any) -> Any:
    def call() -> Any:
        columns = np.argsort(x, axis=-1)[:, -5:]
        return np.take_along_axis(x, columns, axis=-1), columns.copy()

    return call


def foreign_topk(x: Any) -> Any:
    """The right values, and columns in another order."""
    right = right_topk(x)

    def call() -> Any:
        values, columns = right()
        return values, columns[:, ::-1].copy()

    return call


def rounded_topk(x: Any) -> Any:
    """Values that are off by less than the tolerance."""
    right = right_topk(x)

    def call() -> Any:
        values, columns = right()
        return np.nextafter(values, np.float32(9)), columns

    return call


def changed(place: tuple[int, int], index: int) -> Callable[[Any], Any]:
    """The right columns but for one."""

    def prepare(x: Any) -> Any:
        def call() -> Any:
            columns = np.argsort(x, axis=-1)
            columns[place] = index if index < 0 or index >= x.shape[1] else columns[0, index]
            return columns

        return call

    return prepare


@pytest.mark.parametrize("limit", [0, verify.WHOLE_REFERENCE])
@pytest.mark.parametrize(
    ("prepare", "complaint"),
    [
        (unsorted_topk, r"output values is .* instead of .* at position \d+: relative error"),
        (foreign_topk, r"output values is .* at position 0, where the element that indices names is"),
        (rounded_topk, r"output values is .* at position 0, where the element that indices names is"),
    ],
)
def test_a_wrong_top_k_is_caught(
    prepare: Callable[..., Any], complaint: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "WHOLE_REFERENCE", limit)
    assert check(TOPK, right_topk) == 0
    with pytest.raises(WrongAnswerError, match=complaint):
        check(TOPK, prepare)


def test_a_top_k_that_names_one_of_equal_elements_twice_is_caught() -> None:
    def prepare(x: Any) -> Any:
        return lambda: (np.zeros((4, 5), np.float32), np.zeros((4, 5), np.int64))

    zeros = Problem(Topk(rows=4, cols=20, k=5), data="zeros")
    with pytest.raises(WrongAnswerError, match=r"^output indices has column 0 twice in row 0$"):
        check(zeros, prepare)


@pytest.mark.parametrize(
    ("place", "index", "complaint"),
    [
        ((0, 7), 3, r"^output indices has column \d+ twice in row 0$"),
        ((2, 0), 20, r"^output indices is 20 at position 40, not an index below 20$"),
        ((3, 19), -1, r"^output indices is -1 at position 79, not an index below 20$"),
    ],
)
def test_an_order_that_is_no_permutation_is_caught(
    place: tuple[int, int], index: int, complaint: str
) -> None:
    assert check(ARGSORT, lambda x: lambda: np.argsort(x, axis=-1)) == 0
    with pytest.raises(WrongAnswerError, match=complaint):
        check(ARGSORT, changed(place, index))


def test_a_descending_order_is_caught() -> None:
    with pytest.raises(WrongAnswerError, match=r"output indices is .* instead of .* at position"):
        check(ARGSORT, lambda x: lambda: np.argsort(x, axis=-1)[:, ::-1].copy())


def test_suppression_of_a_worked_example() -> None:
    """The first and second overlap by 5·10 of 150, the second and third as well, the first and third not at all."""
    boxes = [[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [40, 40, 50, 50]]
    assert mask(Nms(n=4, threshold=0.3), boxes, [0.9, 0.8, 0.7, 0.1]) == [True, False, True, True]
    assert mask(Nms(n=4, threshold=0.3), boxes, [0.7, 0.8, 0.9, 0.1]) == [True, False, True, True]
    assert mask(Nms(n=4, threshold=0.3), boxes, [0.8, 0.9, 0.7, 0.1]) == [False, True, False, True]
    assert mask(Nms(n=4, threshold=0.4), boxes, [0.9, 0.8, 0.7, 0.1]) == [True] * 4


def test_an_overlap_equal_to_the_threshold_is_kept_and_of_equal_scores_the_first() -> None:
    """The second box is half of the first."""
    boxes = [[0, 0, 10, 10], [0, 0, 10, 5]]
    assert mask(Nms(n=2, threshold=0.5), boxes, [0.5, 0.5]) == [True, True]
    assert mask(Nms(n=2, threshold=0.499), boxes, [0.5, 0.5]) == [True, False]
    assert mask(Nms(n=2, threshold=0.499), boxes, [0.4, 0.5]) == [False, True]


@given(st.integers(1, 60), st.sampled_from([0.0, 0.3, 0.5, 0.7, 0.999]), st.sampled_from(DISTRIBUTIONS))
def test_what_is_kept_is_what_no_better_kept_box_overlaps(
    n: int, threshold: float, data: Distribution
) -> None:
    op = Nms(n=n, threshold=threshold)
    inputs = Problem(op, data=data).inputs()
    keep = op.reference("forward", inputs)["keep"].astype(bool)
    order = sorted(range(n), key=lambda i: (-inputs["scores"][i], i))
    kept: list[int] = []
    for i in order:
        overlapped = any(overlap(inputs["boxes"][i], inputs["boxes"][j]) > threshold for j in kept)
        assert keep[i] == (not overlapped)
        kept += [i] if keep[i] else []


def overlap(a: Array, b: Array) -> float:
    across = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return float(across * down / (areas - across * down))


@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_boxes_are_whole_numbers_of_a_limited_size_in_groups(data: Distribution) -> None:
    inputs = Problem(Nms(n=803), data=data).inputs()
    boxes = inputs["boxes"]
    assert np.array_equal(boxes, boxes.round())
    sides = boxes[:, 2:] - boxes[:, :2]
    assert sides.min() >= SIDES[0] - 2 * JITTER > 0
    assert 2 * sides.max() ** 2 <= LARGEST_UNION
    assert min(overlap(boxes[i], boxes[i + 1]) for i in range(0, 800, CANDIDATES)) > 0
    assert 90 < Nms(n=803).reference("forward", inputs)["keep"].sum() < 400


def test_no_overlap_is_within_rounding_of_a_threshold() -> None:
    """Two quotients of numbers up to U and D differ by 1/(U D) at least, float32's below 1 by 2^-24 at most."""
    assert LARGEST_UNION * 10**DECIMALS < 2**24
    rng = np.random.default_rng(0)
    unions = rng.integers(1, LARGEST_UNION, 10**6)
    thresholds = rng.integers(0, 10**DECIMALS, 10**6)
    nearest = np.rint(unions * thresholds / 10**DECIMALS)
    for shared in (nearest - 1, nearest, nearest + 1):
        exact = shared * 10**DECIMALS > thresholds * unions
        single = (shared.astype("f4") / unions.astype("f4")) > (thresholds / 10**DECIMALS).astype("f4")
        double = shared / unions > thresholds / 10**DECIMALS
        assert np.array_equal(single, exact)
        assert np.array_equal(double, exact)


def test_the_operations_of_a_suppression_are_those_of_all_pairs() -> None:
    assert Nms(n=1).flops("forward") == 3
    assert Nms(n=5).flops("forward") == 13 * math.comb(5, 2) + 3 * 5 + 15


@pytest.mark.parametrize("threshold", [0.1234, 1 / 3])
def test_a_threshold_too_fine_to_be_told_is_refused(threshold: float) -> None:
    with pytest.raises(ProblemError, match=r"^nms of 5 boxes: a threshold of .* has more than 3 decimals"):
        Nms(n=5, threshold=threshold)


@pytest.mark.parametrize("threshold", [-0.1, 1.0, math.nan])
def test_a_threshold_that_is_no_overlap_is_refused(threshold: float) -> None:
    with pytest.raises(ValidationError):
        Nms(n=5, threshold=threshold)


def suppression(*, kept_too: int = 0, by_score: bool = True) -> Callable[[Any, Any], Any]:
    """A right suppression but for so many dropped boxes that are kept, or one that goes by index."""
    op = Nms(n=64)

    def prepare(boxes: Any, scores: Any) -> Any:
        def call() -> Any:
            order = scores if by_score else -np.arange(64.0)
            keep = op.reference("forward", {"boxes": boxes, "scores": order})["keep"].astype(bool)
            keep[np.flatnonzero(~keep)[:kept_too]] = True
            return keep

        return call

    return prepare


def test_a_suppression_that_keeps_an_overlapping_box_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check(Problem(Nms(n=64)), suppression()) == 0
    for limit in (64, verify.WHOLE_REFERENCE):
        monkeypatch.setattr(verify, "WHOLE_REFERENCE", limit)
        with pytest.raises(WrongAnswerError, match=r"output keep is 1 instead of 0 at position"):
            check(Problem(Nms(n=64)), suppression(kept_too=1))


def test_a_suppression_by_index_is_caught() -> None:
    with pytest.raises(WrongAnswerError, match=r"output keep is"):
        check(Problem(Nms(n=64)), suppression(by_score=False))
