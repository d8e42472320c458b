"""The networks' suites count what was published and what others count."""

from __future__ import annotations

import math

import pytest

from dlbench.ops.catalogue import ops
from dlbench.ops.conv import Conv2d
from dlbench.plan.suite import Suite, load_suite

NETWORKS = {
    "alexnet": (5, 5, 0.655567),
    "vgg16": (13, 9, 15.346631),
    "resnet50": (53, 23, 4.087136),
    "googlenet": (57, 49, 1.581648),
}
"""Convolutions, distinct ones among them, and their multiply-adds for one image, in 10⁹ to six decimals."""
WITH_CLASSIFIER = {
    "alexnet": ((9216 * 4096 + 4096 * 4096 + 4096 * 1000), 0.71),
    "vgg16": ((25088 * 4096 + 4096 * 4096 + 4096 * 1000), 15.47),
    "resnet50": (2048 * 1000, 4.09),
}
"""Multiply-adds of the fully connected layers, and what is usually quoted for the whole network, in 10⁹."""


def layers(suite: Suite) -> list[tuple[int, Conv2d]]:
    made = [(one.count, ops()["conv2d"](**one.params)) for one in suite.problems]
    return [(count, op) for count, op in made if isinstance(op, Conv2d)]


def macs(suite: Suite) -> int:
    return sum(count * op.flops("forward") // 2 for count, op in layers(suite))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_as_many_convolutions_and_multiply_adds_as_it_says(name: str) -> None:
    suite = load_suite(name)
    convolutions, distinct, gmac = NETWORKS[name]
    assert (sum(one.count for one in suite.problems), len(suite.problems)) == (convolutions, distinct)
    assert math.isclose(macs(suite) / 1e9, gmac, abs_tol=5e-7)
    assert suite.totals == {"conv_layers": convolutions, "distinct_convs": distinct, "conv_gmac": gmac}


@pytest.mark.parametrize("name", NETWORKS)
def test_distinct_layers_have_distinct_shapes_and_batch_1(name: str) -> None:
    problems = [op for _, op in layers(load_suite(name))]
    assert len({op.label() for op in problems}) == len(problems) == NETWORKS[name][1]
    assert {op.n for op in problems} == {1}


@pytest.mark.parametrize("name", WITH_CLASSIFIER)
def test_with_its_classifier_a_network_comes_to_what_is_quoted_for_it(name: str) -> None:
    classifier, quoted = WITH_CLASSIFIER[name]
    assert round((macs(load_suite(name)) + classifier) / 1e9, 2) == quoted


def test_alexnet_is_the_one_of_a_single_tower() -> None:
    problems = [op for _, op in layers(load_suite("alexnet"))]
    assert [op.label() for op in problems] == [
        "1×3×224×224 → 64, 11×11 /4 pad 2",
        "1×64×27×27 → 192, 5×5 pad 2",
        "1×192×13×13 → 384, 3×3 pad 1",
        "1×384×13×13 → 256, 3×3 pad 1",
        "1×256×13×13 → 256, 3×3 pad 1",
    ]
    assert {op.groups for op in problems} == {1}


def test_vgg16_halves_the_image_four_times_and_keeps_it_within_a_stage() -> None:
    problems = [op for _, op in layers(load_suite("vgg16"))]
    assert [op.h for op in problems] == [224, 224, 112, 112, 56, 56, 28, 28, 14]
    assert all((op.p, op.q) == (op.h, op.w) and (op.r, op.s) == (3, 3) for op in problems)


def test_an_inception_module_joins_its_four_branches_to_the_next_ones_input() -> None:
    layer = {one.layer: one.params for one in load_suite("googlenet").problems}
    for module, following in (("3a", "3b"), ("4a", "4b"), ("4e", "5a"), ("5a", "5b")):
        branches = [
            layer[f"inception_{module}_{branch}"]["k"] for branch in ("1x1", "3x3", "5x5", "pool_proj")
        ]
        joined = sum(int(channels or 0) for channels in branches)
        assert joined == layer[f"inception_{following}_1x1"]["c"]
