from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_strategies import convolutions
from pydantic import ValidationError

from dlbench.errors import ProblemError
from dlbench.ops.conv import Conv2d
from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.utils.flop_counter import FlopCounterMode

DIRECTIONS = Conv2d.directions
directions = st.sampled_from(DIRECTIONS)
RESNET = Conv2d(c=64, h=56, w=56, k=256, r=1, s=1)


def textbook(op: Conv2d, x: Array, w: Array) -> Array:
    """The definition, pixel by pixel."""
    y = np.zeros(op.y_shape)
    per_group, filters = op.c // op.groups, op.k // op.groups
    for n, k, p, q in np.ndindex(y.shape):
        for c, r, s in np.ndindex(w.shape[1:]):
            i = p * op.strides[0] - op.pads[0] + r * op.dilation
            j = q * op.strides[1] - op.pads[1] + s * op.dilation
            if 0 <= i < op.h and 0 <= j < op.w:
                y[n, k, p, q] += x[n, k // filters * per_group + c, i, j] * w[k, c, r, s]
    return y


def torch_flops(op: Conv2d, direction: Direction) -> int:
    """What torch's own counter says, on tensors without memory."""
    x, w, dy = (torch.empty(shape, device="meta") for shape in (op.x_shape, op.w_shape, op.y_shape))
    step = (op.dilation, op.dilation)
    with FlopCounterMode(display=False) as counter:
        if direction == "forward":
            torch.nn.functional.conv2d(x, w, None, op.strides, op.pads, step, op.groups)
        else:
            mask = [direction == "backward_data", direction == "backward_weight", False]
            torch.ops.aten.convolution_backward(
                dy, x, w, None, op.strides, op.pads, step, False, [0, 0], op.groups, mask
            )
    return int(counter.get_total_flops())


def given_and_answer(op: Conv2d, direction: Direction) -> tuple[dict[str, Array], dict[str, Array]]:
    inputs = Problem(op, "float64", direction).inputs()
    return inputs, op.reference(direction, inputs)


@given(convolutions(), st.sampled_from(["forward", "backward_data"]))
def test_flops_agree_with_torch(op: Conv2d, direction: Direction) -> None:
    assert op.flops(direction) == torch_flops(op, direction)


@given(convolutions())
def test_flops_of_the_weight_gradient_agree_with_torch_which_forgets_the_groups(op: Conv2d) -> None:
    """Each of the k filters meets c/groups channels; torch's formula lets it meet all c."""
    assert op.flops("backward_weight") * op.groups == torch_flops(op, "backward_weight")


@given(convolutions())
def test_every_direction_takes_the_same_flops(op: Conv2d) -> None:
    assert len({op.flops(direction) for direction in DIRECTIONS}) == 1


@given(convolutions())
def test_the_output_has_the_shape_that_torch_gives(op: Conv2d) -> None:
    x, w = torch.empty(op.x_shape, device="meta"), torch.empty(op.w_shape, device="meta")
    y = torch.nn.functional.conv2d(x, w, None, op.strides, op.pads, op.dilation, op.groups)
    assert tuple(y.shape) == op.y_shape


@settings(max_examples=50)
@given(convolutions())
def test_the_reference_is_the_textbook_sum(op: Conv2d) -> None:
    inputs, outputs = given_and_answer(op, "forward")
    np.testing.assert_allclose(outputs["y"], textbook(op, inputs["x"], inputs["w"]), rtol=1e-12, atol=1e-12)


@given(convolutions(), st.integers(0, 2**32 - 1))
def test_the_gradients_are_the_adjoints_of_the_convolution(op: Conv2d, seed: int) -> None:
    """<conv(x, w), dy> = <x, dx> = <w, dw>, since a convolution is linear in both."""
    rng = np.random.default_rng(seed)
    x, w, dy = (rng.standard_normal(shape) for shape in (op.x_shape, op.w_shape, op.y_shape))
    y = op.reference("forward", {"x": x, "w": w})["y"]
    dx = op.reference("backward_data", {"dy": dy, "w": w})["dx"]
    dw = op.reference("backward_weight", {"x": x, "dy": dy})["dw"]
    scale = 1e-12 * (1 + np.abs(y * dy).sum())
    assert np.vdot(x, dx) == pytest.approx(np.vdot(y, dy), abs=scale)
    assert np.vdot(w, dw) == pytest.approx(np.vdot(y, dy), abs=scale)


@given(convolutions(), directions)
def test_shapes_are_those_that_are_declared(op: Conv2d, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    assert {name: values.shape for name, values in inputs.items()} == op.inputs(direction)
    assert {name: values.shape for name, values in outputs.items()} == op.outputs(direction)


@given(convolutions(), directions)
def test_traffic_is_each_tensor_once(op: Conv2d, direction: Direction) -> None:
    elements = sum(int(np.prod(shape)) for shape in (op.x_shape, op.w_shape, op.y_shape))
    assert op.traffic(direction, 4) == 4 * elements


@given(convolutions(), directions)
def test_single_outputs_equal_the_whole_reference(op: Conv2d, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    ((name, whole),) = outputs.items()
    single = op.reference_at(direction, inputs, name, np.arange(whole.size))
    np.testing.assert_allclose(single, whole.ravel(), rtol=1e-12, atol=1e-12)


@given(convolutions(), directions)
def test_a_right_answer_has_the_right_projection(op: Conv2d, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    pair = op.projection(direction, inputs, outputs, np.random.default_rng(0))
    assert pair is not None
    np.testing.assert_allclose(*pair, rtol=1e-11, atol=1e-11)


@given(convolutions(), directions, st.data())
def test_a_single_wrong_element_shows_in_the_projection(
    op: Conv2d, direction: Direction, data: st.DataObject
) -> None:
    inputs, outputs = given_and_answer(op, direction)
    ((name, values),) = outputs.items()
    wrong = values.copy()
    wrong.ravel()[data.draw(st.integers(0, values.size - 1))] += 1
    pair = op.projection(direction, inputs, {name: wrong}, np.random.default_rng(0))
    assert pair is not None
    assert np.abs(pair[0] - pair[1]).max() == pytest.approx(1)


@pytest.mark.parametrize(
    ("direction", "values"),
    [("forward", 32 * 56 * 56), ("backward_data", 32 * 56 * 56), ("backward_weight", 64)],
)
def test_the_projection_leaves_one_channel_or_filter_of_each_group(direction: Direction, values: int) -> None:
    op = Conv2d(n=32, c=64, h=56, w=56, k=8, r=1, s=1)
    inputs = {name: np.zeros(shape) for name, shape in op.inputs(direction).items()}
    outputs = {name: np.zeros(shape) for name, shape in op.outputs(direction).items()}
    pair = op.projection(direction, inputs, outputs, np.random.default_rng(0))
    assert pair is not None
    assert (pair[0].size, pair[1].size) == (values, values)


def test_the_lengths_of_the_sums_are_those_of_each_direction() -> None:
    op = Conv2d(n=2, c=8, h=6, w=5, k=12, r=3, s=2, groups=4)
    assert [op.reduction_length(direction) for direction in DIRECTIONS] == [2 * 6, 3 * 6, 2 * 4 * 4]


def test_a_resnet_layer_counts_what_its_shape_says() -> None:
    assert (RESNET.flops("forward"), RESNET.traffic("forward", 4)) == (
        2 * 56 * 56 * 256 * 64,
        4 * (64 * 56 * 56 + 256 * 64 + 256 * 56 * 56),
    )


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "1×64×56×56 → 256, 1×1"),
        ({"stride": 2}, "1×64×56×56 → 256, 1×1 /2"),
        ({"stride": 2, "stride_w": 1}, "1×64×56×56 → 256, 1×1 /2×1"),
        ({"pad": 1}, "1×64×56×56 → 256, 1×1 pad 1"),
        ({"pad": 1, "pad_w": 0}, "1×64×56×56 → 256, 1×1 pad 1×0"),
        ({"dilation": 2}, "1×64×56×56 → 256, 1×1 dilation 2"),
        ({"groups": 32}, "1×64×56×56 → 256, 1×1 groups 32"),
    ],
)
def test_the_label_names_what_differs_from_the_default(changes: dict[str, int], label: str) -> None:
    assert Conv2d(**{**RESNET.model_dump(), **changes}).label() == label


@given(convolutions(), convolutions())
def test_different_convolutions_have_different_labels(one: Conv2d, other: Conv2d) -> None:
    assert (one.label() == other.label()) == (one == other)


def test_what_goes_without_saying_makes_no_other_problem() -> None:
    spelled = Conv2d(**{**RESNET.model_dump(), "stride_w": 1, "pad_w": 0})
    assert Problem(spelled).key == Problem(RESNET).key


def test_a_kernel_larger_than_its_padded_input_is_named() -> None:
    with pytest.raises(ProblemError) as raised:
        Conv2d(c=3, h=8, w=8, k=4, r=11, s=11)
    assert str(raised.value) == (
        "conv2d 1×3×8×8 → 4, 11×11: the 11×11 kernel (dilation 1) is larger than the padded 8×8 input"
    )


def test_a_dilated_kernel_is_held_against_the_padded_input() -> None:
    assert Conv2d(c=1, h=5, w=5, k=1, r=3, s=3, pad=1, dilation=3).y_shape == (1, 1, 1, 1)
    with pytest.raises(
        ProblemError, match=r"the 3×3 kernel \(dilation 4\) is larger than the padded 7×7 input"
    ):
        Conv2d(c=1, h=5, w=5, k=1, r=3, s=3, pad=1, dilation=4)


@pytest.mark.parametrize(("c", "k"), [(6, 8), (8, 6)])
def test_channels_that_do_not_divide_into_groups_are_named(c: int, k: int) -> None:
    with pytest.raises(ProblemError, match=f"{c} input and {k} output channels do not divide into 4 groups"):
        Conv2d(c=c, h=8, w=8, k=k, r=1, s=1, groups=4)


@pytest.mark.parametrize(
    "wrong", [{"h": 0}, {"pad": -1}, {"stride": 0}, {"n": 2**40 + 1}, {"c": 1.5}, {"c": "3"}, {"x": 1}]
)
def test_parameters_out_of_range_or_of_another_type_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Conv2d.model_validate({**RESNET.model_dump(), **wrong})
