"""Whole networks are those that were published, and compute what torch's layers compute."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from dlbench.errors import ProblemError
from dlbench.ops.architectures import ARCHITECTURES
from dlbench.ops.conv import Conv2d
from dlbench.ops.dtypes import Array
from dlbench.ops.layers import Stack
from dlbench.ops.network import InceptionBlock, Layered, Network, ResidualBottleneck
from dlbench.ops.problem import Problem
from dlbench.plan.suite import load_suite
from dlbench.runner.verify import Verifier

PARAMETERS = {
    "alexnet": 61_100_840,
    "zfnet": 62_357_608,
    "vgg16": 138_357_544,
    "googlenet": 6_998_552,
    "resnet50": 25_557_032,
    "darknet53": 41_609_928,
    "mobilenet_v1": 4_231_976,
}
GMACS = {
    "alexnet": 0.714188,
    "zfnet": 1.168033,
    "vgg16": 15.470264,
    "googlenet": 1.582672,
    "resnet50": 4.089184,
    "darknet53": 9.285116,
    "mobilenet_v1": 0.568740,
}
QUOTED = {"alexnet": "0.71", "vgg16": "15.47", "resnet50": "4.09", "mobilenet_v1": "0.569"}
"""Multiply-adds of one image in 10⁹, to the digit that is usually given; MobileNet's in its paper's table 8."""


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_a_network_has_the_parameters_and_multiply_adds_that_it_is_known_for(model: str) -> None:
    network = Network(model=model)
    assert network.parameters() == PARAMETERS[model]
    assert math.isclose(network.flops("forward") / 2e9, GMACS[model], abs_tol=5e-7)
    assert network.outputs("forward") == {"y": (1, 1000)}


@pytest.mark.parametrize(("model", "quoted"), QUOTED.items())
def test_its_multiply_adds_are_those_quoted(model: str, quoted: str) -> None:
    digits = len(quoted.split(".")[1])
    assert f"{Network(model=model).flops('forward') / 2e9:.{digits}f}" == quoted


def test_resnet_50_puts_out_the_11_million_numbers_that_are_published() -> None:
    assert Network(model="resnet50").activations() == 11_114_984


def test_activations_and_operations_grow_with_the_batch_and_parameters_do_not() -> None:
    one, four = Network(model="resnet50"), Network(model="resnet50", n=4)
    assert four.parameters() == one.parameters()
    assert four.activations() == 4 * one.activations()
    assert four.flops("forward") == 4 * one.flops("forward")


@pytest.mark.parametrize("model", ARCHITECTURES)
def test_a_networks_convolutions_are_its_suites(model: str) -> None:
    ours = Counter(layer.op.label() for layer in Network(model=model).layers if isinstance(layer.op, Conv2d))
    suite = load_suite(model)
    theirs: Counter[str] = Counter()
    for problem in suite.problems:
        if (problem.op or suite.op) == "conv2d":
            theirs[Conv2d(**problem.params).label()] += problem.count  # type: ignore[arg-type]
    assert ours == theirs


def torch_bottleneck(op: ResidualBottleneck, given: dict[str, Array]) -> torch.Tensor:
    """The block as its paper draws it."""
    tensors = {name: torch.from_numpy(values) for name, values in given.items()}

    def normalised(x: torch.Tensor, name: str, stride: int = 1, pad: int = 0) -> torch.Tensor:
        y = F.conv2d(x, tensors[f"block_{name}_w"], stride=stride, padding=pad)
        weight, bias, mean, var = (
            tensors[f"block_{name}_bn_{what}"] for what in ("weight", "bias", "running_mean", "running_var")
        )
        return F.batch_norm(y, mean, var, weight, bias)

    x = tensors["x"]
    y = torch.relu(normalised(x, "branch2a"))
    y = torch.relu(normalised(y, "branch2b", op.stride, 1))
    y = normalised(y, "branch2c")
    shortcut = normalised(x, "branch1", op.stride) if "block_branch1_w" in tensors else x
    return torch.relu(y + shortcut)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [5, 12])
def test_a_bottleneck_is_the_papers(stride: int, channels: int) -> None:
    op = ResidualBottleneck(n=2, c=channels, h=7, w=6, width=3, stride=stride)
    given = Problem(op, "float64").inputs()
    expected = torch_bottleneck(op, given).numpy()
    np.testing.assert_allclose(op.reference("forward", given)["y"], expected, rtol=1e-10, atol=1e-12)
    projected = "block_branch1_w" in given
    assert projected == (channels != 12 or stride != 1)


def test_an_inception_block_puts_its_branches_together_in_their_order() -> None:
    op = InceptionBlock(c=3, h=5, w=4, ones=2, reduce3=3, threes=4, reduce5=1, fives=2, projected=1)
    given = Problem(op, "float64").inputs()
    y = op.reference("forward", given)["y"]
    assert y.shape == (1, 2 + 4 + 2 + 1, 5, 4)
    x, w, b = (
        torch.from_numpy(given[name]) for name in ("x", "inception_block_1x1_w", "inception_block_1x1_b")
    )
    first = torch.relu(F.conv2d(x, w, b)).numpy()
    np.testing.assert_allclose(y[:, :2], first, rtol=1e-10, atol=1e-12)
    w, b = (torch.from_numpy(given[f"inception_block_pool_proj_{name}"]) for name in ("w", "b"))
    last = torch.relu(F.conv2d(F.max_pool2d(x, 3, 1, 1), w, b)).numpy()
    np.testing.assert_allclose(y[:, 8:], last, rtol=1e-10, atol=1e-12)


def test_blocks_count_what_they_do_in_their_networks() -> None:
    block = ResidualBottleneck(c=256, h=56, w=56, width=64)
    assert block.flops("forward") == 2 * 56 * 56 * (256 * 64 + 9 * 64 * 64 + 64 * 256)
    assert block.parameters() == 256 * 64 + 9 * 64 * 64 + 64 * 256 + 2 * (64 + 64 + 256)
    module = InceptionBlock(
        c=192, h=28, w=28, ones=64, reduce3=96, threes=128, reduce5=16, fives=32, projected=32
    )
    assert module.outputs("forward") == {"y": (1, 256, 28, 28)}
    assert module.label() == "1×192×28×28 → 64, 96-128, 16-32, 32"


def test_a_network_that_does_not_exist_is_named_with_the_nearest() -> None:
    with pytest.raises(ProblemError, match=r"^no network `resnet51`; did you mean `resnet50`\?$"):
        Network(model="resnet51")


def test_images_that_a_network_reduces_to_nothing_are_refused() -> None:
    with pytest.raises(ProblemError, match=r"^network alexnet 1×3×20×20: the images are too small: "):
        Network(model="alexnet", size=20)


def test_a_size_and_a_divisor_change_the_shapes_and_not_the_structure() -> None:
    small, whole = Network(model="googlenet", size=64, divisor=8), Network(model="googlenet")
    assert [layer.name for layer in small.layers] == [layer.name for layer in whole.layers]
    assert small.layers[0].shape == (1, 8, 32, 32)
    assert small.label() == "googlenet 1×3×64×64 channels / 8"


def test_a_networks_own_size_is_the_same_problem_as_none_given() -> None:
    assert Problem(Network(model="resnet50", size=224)).key == Problem(Network(model="resnet50")).key
    assert Problem(Network(model="darknet53", size=224)).key != Problem(Network(model="darknet53")).key


def test_roundings_are_those_of_the_longest_path() -> None:
    """Three convolutions with their norms and the sum; with a projection beside them no more."""
    assert ResidualBottleneck(c=12, h=5, w=5, width=3).roundings("forward") == 7
    assert ResidualBottleneck(c=5, h=5, w=5, width=3).roundings("forward") == 7


def test_a_layer_after_one_that_there_is_not_is_an_error() -> None:
    with pytest.raises(KeyError, match="conv2"):
        Stack((1, 3, 8, 8)).conv("conv1", 4, 3, after="conv2")


def outputs(op: Layered, given: dict[str, Array], skipped: str) -> Array:
    """The answer of a network that leaves a layer out."""
    values = {"x": given["x"]}
    for layer in op.layers:
        sources = [values[source] for source in layer.sources]
        values[layer.name] = sources[0] if layer.name == skipped else layer.output(sources, given)
    return values[op.layers[-1].name]


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_network_that_leaves_out_one_shortcut_is_caught(dtype: str) -> None:
    op = Network(model="resnet50", size=35, divisor=32)
    problem = Problem(op, dtype)
    given = problem.inputs()
    verifier = Verifier(problem, given)
    right = op.reference("forward", given)["y"]
    error = np.abs(outputs(op, given, "res3b") - right).max() / np.sqrt(np.mean(right**2))
    assert error > verifier.tolerance
