from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_strategies import convolutions_1d, convolutions_3d
from pydantic import ValidationError

from dlbench.backends.cupy.launches import Variant, launch
from dlbench.backends.numpy.backend import NumpyBackend
from dlbench.errors import ProblemError
from dlbench.ops.conv_base import Convolution
from dlbench.ops.conv_nd import Conv1d, Conv3d
from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.runner.verify import Verifier, WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.utils.flop_counter import FlopCounterMode

DIRECTIONS = Convolution.directions
FUNCTIONS: dict[int, Any] = {1: torch.nn.functional.conv1d, 3: torch.nn.functional.conv3d}
directions = st.sampled_from(DIRECTIONS)
convolutions = convolutions_1d() | convolutions_3d()
SPEECH = Conv1d(c=80, w=3000, k=512, s=3, pad=1)
VIDEO = Conv3d(c=3, d=16, h=112, w=112, k=64, t=3, r=7, s=7, stride=2, pad=3)


def by_torch(op: Convolution, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    conv = op.geometry
    y: torch.Tensor = FUNCTIONS[len(conv.window)](
        x, w, None, conv.strides, conv.pads, conv.dilation, conv.groups
    )
    return y


def torch_flops(op: Convolution, direction: Direction) -> int:
    """What torch's own counter says, on tensors without memory."""
    conv = op.geometry
    x, w, dy = (torch.empty(shape, device="meta") for shape in (op.x_shape, op.w_shape, op.y_shape))
    axes = len(conv.window)
    with FlopCounterMode(display=False) as counter:
        if direction == "forward":
            by_torch(op, x, w)
        else:
            mask = [direction == "backward_data", direction == "backward_weight", False]
            steps = [conv.dilation] * axes
            torch.ops.aten.convolution_backward(
                dy, x, w, None, conv.strides, conv.pads, steps, False, [0] * axes, conv.groups, mask
            )
    return int(counter.get_total_flops())


def given_and_answer(op: Convolution, direction: Direction) -> tuple[dict[str, Array], dict[str, Array]]:
    inputs = Problem(op, "float64", direction).inputs()
    return inputs, op.reference(direction, inputs)


def test_a_worked_example_over_one_axis() -> None:
    op = Conv1d(c=1, w=5, k=1, s=2, stride=2, pad=1, dilation=2)
    x, w = np.array([[[1.0, 2, 3, 4, 5]]]), np.array([[[10.0, 1]]])
    y = op.reference("forward", {"x": x, "w": w})["y"]
    assert y.tolist() == [[[2.0, 24.0, 40.0]]]
    dy = np.array([[[1.0, 2, 3]]])
    assert op.reference("backward_data", {"dy": dy, "w": w})["dx"].tolist() == [[[0.0, 21, 0, 32, 0]]]
    assert op.reference("backward_weight", {"x": x, "dy": dy})["dw"].tolist() == [[[16.0, 10.0]]]


def test_a_worked_example_over_three_axes() -> None:
    op = Conv3d(c=2, d=2, h=2, w=2, k=2, t=2, r=2, s=2, groups=2)
    x = np.arange(16.0).reshape(1, 2, 2, 2, 2)
    w = np.stack([np.ones((1, 2, 2, 2)), 10 * np.ones((1, 2, 2, 2))])
    y = op.reference("forward", {"x": x, "w": w})["y"]
    assert y.ravel().tolist() == [sum(range(8)), 10 * sum(range(8, 16))]


@settings(max_examples=40)
@given(convolutions)
def test_every_direction_is_torchs(op: Convolution) -> None:
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(shape) for shape in (op.x_shape, op.w_shape, op.y_shape))
    tensors = [torch.from_numpy(values).requires_grad_() for values in (x, w)]
    y = by_torch(op, *tensors)
    dx, dw = torch.autograd.grad(y, tensors, torch.from_numpy(dy))
    for direction, given_, name, expected in (
        ("forward", {"x": x, "w": w}, "y", y.detach()),
        ("backward_data", {"dy": dy, "w": w}, "dx", dx),
        ("backward_weight", {"x": x, "dy": dy}, "dw", dw),
    ):
        found = op.reference(direction, given_)[name]  # type: ignore[arg-type]  # a direction by name
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12, atol=1e-12)


@given(convolutions_1d(), directions)
def test_over_one_axis_it_is_a_conv2d_of_images_of_one_row(op: Conv1d, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    in_rows = op.as_conv2d()
    assert in_rows.flops(direction) == op.flops(direction)
    found = in_rows.reference(direction, {name: values[:, :, None] for name, values in inputs.items()})
    for name, values in outputs.items():
        assert np.array_equal(found[name][:, :, 0], values)


@settings(max_examples=40)
@given(convolutions, st.sampled_from(["forward", "backward_data"]))
def test_flops_agree_with_torch(op: Convolution, direction: Direction) -> None:
    assert op.flops(direction) == torch_flops(op, direction)


@settings(max_examples=40)
@given(convolutions)
def test_flops_of_the_weight_gradient_agree_with_torch_which_forgets_the_groups(op: Convolution) -> None:
    """Each of the k filters meets c/groups channels; torch's formula lets it meet all c."""
    assert op.flops("backward_weight") * op.geometry.groups == torch_flops(op, "backward_weight")


@given(convolutions, directions)
def test_shapes_are_those_that_are_declared(op: Convolution, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    assert {name: values.shape for name, values in inputs.items()} == op.inputs(direction)
    assert {name: values.shape for name, values in outputs.items()} == op.outputs(direction)


@given(convolutions, directions)
def test_traffic_is_each_tensor_once(op: Convolution, direction: Direction) -> None:
    elements = sum(int(np.prod(shape)) for shape in (op.x_shape, op.w_shape, op.y_shape))
    assert op.traffic(direction, 4) == 4 * elements


@given(convolutions, directions)
def test_single_outputs_equal_the_whole_reference(op: Convolution, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    ((name, whole),) = outputs.items()
    positions = np.arange(whole.size)[:: 1 + whole.size // 50]
    single = op.reference_at(direction, inputs, name, positions)
    np.testing.assert_allclose(single, whole.ravel()[positions], rtol=1e-12, atol=1e-12)


@given(convolutions, directions, st.data())
def test_a_right_answer_has_the_right_projection_and_a_wrong_element_shows_in_it(
    op: Convolution, direction: Direction, data: st.DataObject
) -> None:
    inputs, outputs = given_and_answer(op, direction)
    right = op.projection(direction, inputs, outputs, np.random.default_rng(0))
    assert right is not None
    np.testing.assert_allclose(*right, rtol=1e-11, atol=1e-11)
    ((name, values),) = outputs.items()
    values.ravel()[data.draw(st.integers(0, values.size - 1))] += 1
    wrong = op.projection(direction, inputs, {name: values}, np.random.default_rng(0))
    assert wrong is not None
    assert np.abs(wrong[0] - wrong[1]).max() == pytest.approx(1)


def test_counts_are_what_the_shapes_say() -> None:
    assert (SPEECH.flops("forward"), SPEECH.traffic("forward", 2)) == (
        2 * 512 * 3000 * 80 * 3,
        2 * (80 * 3000 + 512 * 80 * 3 + 512 * 3000),
    )
    assert VIDEO.flops("backward_weight") == 2 * 64 * (10 * 56 * 56) * 3 * (3 * 7 * 7)


def test_the_lengths_of_the_sums_are_those_of_each_direction() -> None:
    one = Conv1d(n=2, c=8, w=6, k=12, s=3, groups=4)
    assert [one.reduction_length(direction) for direction in DIRECTIONS] == [2 * 3, 3 * 3, 2 * 4]
    three = Conv3d(n=2, c=8, d=4, h=5, w=6, k=12, t=1, r=2, s=3, groups=4)
    assert [three.reduction_length(direction) for direction in DIRECTIONS] == [2 * 6, 3 * 6, 2 * 4 * 4 * 4]


@pytest.mark.parametrize(
    ("op", "label"),
    [
        (SPEECH, "1×80×3000 → 512, 3 pad 1"),
        (VIDEO, "1×3×16×112×112 → 64, 3×7×7 /2 pad 3"),
        (
            Conv1d(n=2, c=4, w=13, k=6, s=3, stride=2, dilation=3, groups=2),
            "2×4×13 → 6, 3 /2 dilation 3 groups 2",
        ),
    ],
)
def test_the_label_names_what_differs_from_the_default(op: Convolution, label: str) -> None:
    assert op.label() == label


@pytest.mark.parametrize("strategy", [convolutions_1d(), convolutions_3d()], ids=["conv1d", "conv3d"])
@given(data=st.data())
def test_different_convolutions_have_different_labels(
    strategy: st.SearchStrategy[Convolution], data: st.DataObject
) -> None:
    one, other = data.draw(strategy), data.draw(strategy)
    assert (one.label() == other.label()) == (one == other)


def test_a_kernel_larger_than_its_padded_input_is_named() -> None:
    with pytest.raises(ProblemError) as raised:
        Conv1d(c=3, w=8, k=4, s=5, pad=1, dilation=3)
    assert str(raised.value) == (
        "conv1d 1×3×8 → 4, 5 pad 1 dilation 3: the 5 kernel (dilation 3) is larger than the padded 10 input"
    )
    with pytest.raises(ProblemError, match="the 3×3×3 kernel .* is larger than the padded 2×9×9 input"):
        Conv3d(c=1, d=2, h=9, w=9, k=1, t=3, r=3, s=3)


@pytest.mark.parametrize(("c", "k"), [(6, 8), (8, 6)])
def test_channels_that_do_not_divide_into_groups_are_named(c: int, k: int) -> None:
    with pytest.raises(ProblemError, match=f"{c} input and {k} output channels do not divide into 4 groups"):
        Conv1d(c=c, w=8, k=k, s=1, groups=4)


@pytest.mark.parametrize("wrong", [{"w": 0}, {"pad": -1}, {"stride": 0}, {"c": 1.5}, {"h": 1}, {"pad_w": 1}])
def test_parameters_out_of_range_or_unknown_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Conv1d.model_validate({**SPEECH.model_dump(), **wrong})


@pytest.mark.parametrize("variant", ["naive", "tiled"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_kernels_of_conv2d_are_launched_for_one_row(direction: Direction, variant: Variant) -> None:
    op = Conv1d(n=2, c=4, w=13, k=6, s=3, stride=2, pad=2, dilation=3, groups=2)
    planned = launch(Problem(op, direction=direction), variant)
    assert planned == launch(Problem(op.as_conv2d(), direction=direction), variant)
    assert planned.name == f"conv2d_{direction}_{variant}"
    assert planned.scalars == (2, 4, 1, 13, 6, 1, 3, 1, 6, 1, 2, 0, 2, 3, 2)


@pytest.mark.parametrize(
    "op", [Conv1d(c=4, w=9, k=4, s=3, pad=1), Conv3d(c=2, d=4, h=4, w=4, k=2, t=3, r=3, s=3, pad=1)]
)
def test_a_data_gradient_by_filters_that_were_not_turned_is_caught(op: Convolution) -> None:
    """With stride 1 and a padding of half the window it has the right shape, and is wrong in every element."""
    problem = Problem(op, direction="backward_data")
    inputs = problem.inputs()
    exchanged = np.swapaxes(inputs["w"], 0, 1)
    turned = np.flip(exchanged, tuple(range(2, exchanged.ndim)))
    backend, verifier = NumpyBackend("cpu", 1), Verifier(problem, inputs)
    tensors = [backend.tensor(values, "float32") for values in inputs.values()]

    def gradient(w: Array) -> np.ndarray[Any, np.dtype[np.float32]]:
        return op.reference("forward", {"x": inputs["dy"], "w": w})["y"].astype(np.float32)

    assert verifier.check(backend, tensors, lambda: gradient(turned)) < verifier.tolerance
    with pytest.raises(WrongAnswerError, match="output dx is .* instead of"):
        verifier.check(backend, tensors, lambda: gradient(exchanged))
