from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from op_strategies import transposed_convolutions

from dlbench.backends.numpy.backend import NumpyBackend
from dlbench.errors import ProblemError
from dlbench.ops.conv import Conv2d
from dlbench.ops.conv_transpose import (
    ConvTranspose1d,
    ConvTranspose2d,
    ConvTranspose3d,
    TransposedConvolution,
)
from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.runner.verify import Verifier, WrongAnswerError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.utils.flop_counter import FlopCounterMode

DIRECTIONS = TransposedConvolution.directions
FUNCTIONS: dict[int, Any] = {
    1: torch.nn.functional.conv_transpose1d,
    2: torch.nn.functional.conv_transpose2d,
    3: torch.nn.functional.conv_transpose3d,
}
directions = st.sampled_from(DIRECTIONS)
GENERATOR = ConvTranspose2d(n=8, c=512, h=4, w=4, k=256, r=4, s=4, stride=2, pad=1)
"""The second layer of DCGAN's generator (A. Radford et al., 2015)."""


def by_torch(op: TransposedConvolution, x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
    function = FUNCTIONS[x.dim() - 2]
    y: torch.Tensor = function(x, w, None, op.stride, op.pad, op.output_pad, op.groups, op.dilation)
    return y


def torch_flops(op: TransposedConvolution, direction: Direction) -> int:
    """What torch's own counter says, on tensors without memory."""
    x, w, dy = (torch.empty(shape, device="meta") for shape in (op.x_shape, op.w_shape, op.y_shape))
    axes = x.dim() - 2
    stride, pad, dilation, output_pad = (
        [value] * axes for value in (op.stride, op.pad, op.dilation, op.output_pad)
    )
    with FlopCounterMode(display=False) as counter:
        if direction == "forward":
            by_torch(op, x, w)
        else:
            mask = [direction == "backward_data", direction == "backward_weight", False]
            torch.ops.aten.convolution_backward(
                dy, x, w, None, stride, pad, dilation, True, output_pad, op.groups, mask
            )
    return int(counter.get_total_flops())


def given_and_answer(
    op: TransposedConvolution, direction: Direction
) -> tuple[dict[str, Array], dict[str, Array]]:
    inputs = Problem(op, "float64", direction).inputs()
    return inputs, op.reference(direction, inputs)


def test_each_input_adds_the_filter_a_stride_further() -> None:
    x, w = np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0, 100.0]]])
    op = ConvTranspose1d(c=1, w=2, k=1, s=3, stride=2)
    assert op.reference("forward", {"x": x, "w": w})["y"].tolist() == [[[1.0, 10.0, 102.0, 20.0, 200.0]]]


def test_padding_cuts_the_output_and_an_output_padding_lengthens_its_end() -> None:
    x, w = np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0, 100.0]]])
    op = ConvTranspose1d(c=1, w=2, k=1, s=3, stride=2, pad=1, output_pad=1)
    assert op.reference("forward", {"x": x, "w": w})["y"].tolist() == [[[10.0, 102.0, 20.0, 200.0]]]
    far = ConvTranspose1d(c=1, w=2, k=1, s=3, stride=2, output_pad=1)
    assert far.reference("forward", {"x": x, "w": w})["y"].tolist() == [[[1, 10, 102, 20, 200, 0]]]


def test_the_gradients_of_a_worked_example() -> None:
    op = ConvTranspose1d(c=1, w=2, k=1, s=2, stride=2)
    x, w, dy = np.array([[[1.0, 2.0]]]), np.array([[[1.0, 10.0]]]), np.array([[[1.0, 2.0, 3.0, 4.0]]])
    assert op.reference("backward_data", {"dy": dy, "w": w})["dx"].tolist() == [[[21.0, 43.0]]]
    assert op.reference("backward_weight", {"x": x, "dy": dy})["dw"].tolist() == [[[7.0, 10.0]]]


@settings(max_examples=60)
@given(transposed_convolutions())
def test_every_direction_is_torchs(op: TransposedConvolution) -> None:
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(shape) for shape in (op.x_shape, op.w_shape, op.y_shape))
    tensors = [torch.from_numpy(values).requires_grad_() for values in (x, w)]
    y = by_torch(op, *tensors)
    assert tuple(y.shape) == op.y_shape
    dx, dw = torch.autograd.grad(y, tensors, torch.from_numpy(dy))
    for direction, given_, name, expected in (
        ("forward", {"x": x, "w": w}, "y", y.detach()),
        ("backward_data", {"dy": dy, "w": w}, "dx", dx),
        ("backward_weight", {"x": x, "dy": dy}, "dw", dw),
    ):
        found = op.reference(direction, given_)[name]  # type: ignore[arg-type]  # a direction by name
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12, atol=1e-12)


def test_it_is_the_data_gradient_of_the_convolution_that_has_its_output_for_input() -> None:
    op = ConvTranspose2d(n=2, c=4, h=3, w=5, k=6, r=3, s=2, stride=2, pad=1, output_pad=1, groups=2)
    plain = Conv2d(n=2, c=6, h=6, w=9, k=4, r=3, s=2, stride=2, pad=1, groups=2)
    assert (plain.x_shape, plain.w_shape, plain.y_shape) == (op.y_shape, op.w_shape, op.x_shape)
    inputs, outputs = given_and_answer(op, "forward")
    dx = plain.reference("backward_data", {"dy": inputs["x"], "w": inputs["w"]})["dx"]
    assert np.array_equal(outputs["y"], dx)
    assert op.flops("forward") == plain.flops("backward_data")


@settings(max_examples=40)
@given(transposed_convolutions(), st.sampled_from(["forward", "backward_data"]))
def test_flops_agree_with_torch(op: TransposedConvolution, direction: Direction) -> None:
    assert op.flops(direction) == torch_flops(op, direction)


@settings(max_examples=40)
@given(transposed_convolutions())
def test_flops_of_the_weight_gradient_agree_with_torch_which_forgets_the_groups(
    op: TransposedConvolution,
) -> None:
    """Each of the c filters meets k/groups channels; torch's formula lets it meet all k."""
    assert op.flops("backward_weight") * op.groups == torch_flops(op, "backward_weight")


@given(transposed_convolutions(), directions)
def test_shapes_are_those_that_are_declared(op: TransposedConvolution, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    assert {name: values.shape for name, values in inputs.items()} == op.inputs(direction)
    assert {name: values.shape for name, values in outputs.items()} == op.outputs(direction)


@given(transposed_convolutions(), directions)
def test_single_outputs_equal_the_whole_reference(op: TransposedConvolution, direction: Direction) -> None:
    inputs, outputs = given_and_answer(op, direction)
    ((name, whole),) = outputs.items()
    positions = np.arange(whole.size)[:: 1 + whole.size // 50]
    single = op.reference_at(direction, inputs, name, positions)
    np.testing.assert_allclose(single, whole.ravel()[positions], rtol=1e-12, atol=1e-12)


@given(transposed_convolutions(), directions, st.data())
def test_a_right_answer_has_the_right_projection_and_a_wrong_element_shows_in_it(
    op: TransposedConvolution, direction: Direction, data: st.DataObject
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


def test_a_generators_layer_doubles_its_image_and_counts_what_its_shapes_say() -> None:
    assert GENERATOR.y_shape == (8, 256, 8, 8)
    elements = 8 * 512 * 4 * 4 + 512 * 256 * 4 * 4 + 8 * 256 * 8 * 8
    for direction in DIRECTIONS:
        assert GENERATOR.flops(direction) == 2 * 8 * (4 * 4) * 512 * 256 * (4 * 4)
        assert GENERATOR.traffic(direction, 4) == 4 * elements


def test_the_lengths_of_the_sums_are_those_of_each_direction() -> None:
    op = ConvTranspose2d(n=2, c=8, h=3, w=5, k=12, r=3, s=2, stride=2, groups=4)
    assert [op.reduction_length(direction) for direction in DIRECTIONS] == [2 * 6, 3 * 6, 2 * 3 * 5]


@pytest.mark.parametrize(
    ("op", "label"),
    [
        (GENERATOR, "8×512×4×4 → 256, 4×4 /2 pad 1"),
        (ConvTranspose1d(c=4, w=5, k=6, s=3, stride=3, output_pad=2), "1×4×5 → 6, 3 /3 output pad 2"),
        (
            ConvTranspose3d(c=4, d=2, h=3, w=4, k=2, t=2, r=3, s=1, dilation=2, groups=2),
            "1×4×2×3×4 → 2, 2×3×1 dilation 2 groups 2",
        ),
    ],
)
def test_the_label_names_what_differs_from_the_default(op: TransposedConvolution, label: str) -> None:
    assert op.label() == label


@given(transposed_convolutions(), transposed_convolutions())
def test_different_convolutions_have_different_labels(
    one: TransposedConvolution, other: TransposedConvolution
) -> None:
    same = (type(one), one.label()) == (type(other), other.label())
    assert same == (one == other)


@given(st.integers(1, 4), st.integers(1, 4), st.integers(0, 4))
def test_an_output_padding_is_refused_where_torch_refuses_it(
    stride: int, dilation: int, output_pad: int
) -> None:
    sizes = {"stride": stride, "dilation": dilation, "output_pad": output_pad}
    x, w = torch.ones(1, 1, 3), torch.ones(1, 1, 2)
    try:
        op = ConvTranspose1d(c=1, w=3, k=1, s=2, **sizes)
    except ProblemError:
        with pytest.raises(RuntimeError, match="output padding must be smaller"):
            FUNCTIONS[1](x, w, None, stride, 0, output_pad, 1, dilation)
    else:
        assert tuple(by_torch(op, x, w).shape) == op.y_shape


def test_an_output_padding_without_a_larger_stride_is_named() -> None:
    with pytest.raises(ProblemError) as raised:
        ConvTranspose2d(c=3, h=4, w=4, k=2, r=3, s=3, stride=2, output_pad=2)
    assert str(raised.value) == (
        "conv_transpose2d 1×3×4×4 → 2, 3×3 /2 output pad 2: an output padding of 2 needs a larger stride or dilation "
        "than 2 and 1"
    )


def test_a_padding_that_leaves_no_output_is_named() -> None:
    with pytest.raises(ProblemError) as raised:
        ConvTranspose2d(c=3, h=1, w=4, k=2, r=2, s=3, pad=1)
    assert str(raised.value) == (
        "conv_transpose2d 1×3×1×4 → 2, 2×3 pad 1: a padding of 1 leaves an output of 0×4"
    )


@pytest.mark.parametrize(("c", "k"), [(6, 8), (8, 6)])
def test_channels_that_do_not_divide_into_groups_are_named(c: int, k: int) -> None:
    with pytest.raises(ProblemError, match=f"{c} input and {k} output channels do not divide into 4 groups"):
        ConvTranspose1d(c=c, w=8, k=k, s=1, groups=4)


def test_a_transposed_convolution_by_turned_filters_is_caught() -> None:
    """What a convolution of the input amid zeros computes if its filters are not turned for it."""
    problem = Problem(ConvTranspose2d(c=3, h=4, w=5, k=2, r=3, s=3, stride=2))
    inputs = problem.inputs()
    backend, verifier = NumpyBackend("cpu", 1), Verifier(problem, inputs)
    tensors = [backend.tensor(values, "float32") for values in inputs.values()]

    def output(w: Array) -> np.ndarray[Any, np.dtype[np.float32]]:
        return problem.op.reference("forward", inputs | {"w": w})["y"].astype(np.float32)

    assert verifier.check(backend, tensors, lambda: output(inputs["w"])) < verifier.tolerance
    with pytest.raises(WrongAnswerError, match="output y is .* instead of"):
        verifier.check(backend, tensors, lambda: output(np.flip(inputs["w"], (2, 3))))
