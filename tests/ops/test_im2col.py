from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from op_strategies import columns, convolutions

from dlbench.backends.numpy.backend import NumpyBackend
from dlbench.errors import ProblemError
from dlbench.ops.conv import Conv2d
from dlbench.ops.dtypes import Array
from dlbench.ops.im2col import Im2col
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.runner import verify
from dlbench.runner.verify import Verifier, WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

directions = st.sampled_from(Im2col.directions)
LAYER = Im2col(n=32, c=64, h=56, w=56, r=3, s=3, pad=1)
RAGGED = Im2col(n=2, c=3, h=9, w=7, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2)


def given_and_answer(op: Im2col, direction: Direction) -> tuple[dict[str, Array], dict[str, Array]]:
    inputs = Problem(op, "float64", direction).inputs()
    return inputs, op.reference(direction, inputs)


def test_a_column_is_what_the_window_meets_at_one_place() -> None:
    x = np.arange(1.0, 10).reshape(1, 1, 3, 3)
    found = Im2col(c=1, h=3, w=3, r=2, s=2).reference("forward", {"x": x})["columns"]
    assert found.tolist() == [[[1, 2, 4, 5], [2, 3, 5, 6], [4, 5, 7, 8], [5, 6, 8, 9]]]


def test_the_way_back_adds_each_entry_to_where_it_came_from() -> None:
    """Of ones: in how many of the four windows each element is."""
    ones = np.ones((1, 4, 4))
    found = Im2col(c=1, h=3, w=3, r=2, s=2).reference("backward", {"dcolumns": ones})["dx"]
    assert found.tolist() == [[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]


def test_the_padding_is_zeros() -> None:
    found = Im2col(c=1, h=1, w=1, r=3, s=3, pad=1).reference("forward", {"x": np.full((1, 1, 1, 1), 7.0)})
    assert found["columns"].ravel().tolist() == [0, 0, 0, 0, 7, 0, 0, 0, 0]


@given(columns())
def test_both_directions_are_torchs(op: Im2col) -> None:
    inputs, outputs = given_and_answer(op, "forward")
    conv = op.geometry
    sizes = op.dilation, conv.pads, conv.strides
    unfolded = torch.nn.functional.unfold(torch.from_numpy(inputs["x"]), conv.window, *sizes)
    assert np.array_equal(outputs["columns"], unfolded.numpy())
    inputs, outputs = given_and_answer(op, "backward")
    given_ = torch.from_numpy(inputs["dcolumns"])
    folded = torch.nn.functional.fold(given_, conv.extents, conv.window, *sizes)
    np.testing.assert_allclose(outputs["dx"], folded.numpy(), rtol=1e-13, atol=1e-13)


@given(convolutions().filter(lambda op: op.groups == 1))
def test_a_convolution_is_the_filters_times_the_columns(op: Conv2d) -> None:
    inputs = Problem(op, "float64").inputs()
    op_of_columns = Im2col(**op.model_dump(exclude={"k", "groups"}))
    found = op_of_columns.reference("forward", {"x": inputs["x"]})["columns"]
    y = (inputs["w"].reshape(op.k, -1) @ found).reshape(op.y_shape)
    np.testing.assert_allclose(y, op.reference("forward", inputs)["y"], rtol=1e-12, atol=1e-12)


@given(columns(), directions)
def test_shapes_are_those_that_are_declared(op: Im2col, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    assert {name: values.shape for name, values in inputs.items()} == op.inputs(direction)
    assert {name: values.shape for name, values in outputs.items()} == op.outputs(direction)


@given(columns(), directions)
def test_single_outputs_equal_the_whole_reference(op: Im2col, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    ((name, whole),) = outputs.items()
    single = op.reference_at(direction, inputs, name, np.arange(whole.size))
    np.testing.assert_allclose(single, whole.ravel(), rtol=1e-13, atol=1e-13)


@given(columns(), directions, st.data())
def test_a_right_answer_has_the_right_projection_and_a_wrong_element_shows_in_it(
    op: Im2col, direction: Direction, data: st.DataObject
) -> None:
    inputs, outputs = given_and_answer(op, direction)
    right = op.projection(direction, inputs, outputs, np.random.default_rng(0))
    assert right is not None
    np.testing.assert_allclose(*right, rtol=1e-12, atol=1e-12)
    ((name, values),) = outputs.items()
    values.ravel()[data.draw(st.integers(0, values.size - 1))] += 1
    wrong = op.projection(direction, inputs, {name: values}, np.random.default_rng(0))
    assert wrong is not None
    assert np.abs(wrong[0] - wrong[1]).max() == pytest.approx(1)


def test_a_layers_columns_are_nine_times_its_image() -> None:
    image, entries = 32 * 64 * 56 * 56, 32 * 64 * 9 * 56 * 56
    assert LAYER.outputs("forward") == {"columns": (32, 64 * 9, 56 * 56)}
    assert [LAYER.flops(direction) for direction in Im2col.directions] == [0, entries]
    assert [LAYER.traffic(direction, 2) for direction in Im2col.directions] == [2 * (image + entries)] * 2
    assert [LAYER.reduction_length(direction) for direction in Im2col.directions] == [1, 9]


def test_the_label_names_what_differs_from_the_default() -> None:
    assert LAYER.label() == "32×64×56×56, 3×3 pad 1"
    assert RAGGED.label() == "2×3×9×7, 3×2 /2×1 pad 1×0 dilation 2"


@given(columns(), columns())
def test_different_columns_have_different_labels(one: Im2col, other: Im2col) -> None:
    assert (one.label() == other.label()) == (one == other)


def test_what_goes_without_saying_makes_no_other_problem() -> None:
    spelled = Im2col(**{**LAYER.model_dump(), "stride_w": 1, "pad_w": 1})
    assert Problem(spelled).key == Problem(LAYER).key


def test_a_window_larger_than_its_padded_input_is_named() -> None:
    with pytest.raises(ProblemError) as raised:
        Im2col(c=3, h=8, w=8, r=11, s=11)
    assert str(raised.value) == (
        "im2col 1×3×8×8, 11×11: the 11×11 kernel (dilation 1) is larger than the padded 8×8 input"
    )


def check(op: Im2col, wrong: Any) -> None:
    """Hold what `wrong` makes of the right columns against the reference."""
    problem = Problem(op)
    inputs = problem.inputs()
    found = op.reference("forward", inputs)["columns"].astype(np.float32)
    backend = NumpyBackend("cpu", 1)
    tensors = [backend.tensor(values, "float32") for values in inputs.values()]
    Verifier(problem, inputs).check(backend, tensors, lambda: wrong(found.copy()))


def test_rows_in_the_order_of_channels_last_are_caught() -> None:
    def by_tap(found: Array) -> Array:
        return found.reshape(2, 3, 6, -1).swapaxes(1, 2).reshape(found.shape)

    check(RAGGED, lambda found: found)
    with pytest.raises(WrongAnswerError, match="output columns is .* instead of"):
        check(RAGGED, by_tap)


def test_an_entry_that_was_not_sampled_is_caught_where_the_whole_reference_would_be_dear(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verify, "WHOLE_REFERENCE", 0)

    def one_wrong(found: Array) -> Array:
        found[1, 100, 50] += 1
        return found

    op = Im2col(n=2, c=16, h=16, w=16, r=3, s=3)
    check(op, lambda found: found)
    with pytest.raises(WrongAnswerError, match="a random projection of output columns is off by .*Freivalds"):
        check(op, one_wrong)
