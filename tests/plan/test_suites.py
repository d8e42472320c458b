"""The networks' suites count what was published and what others count; a suite may hold problems of several ops."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dlbench.errors import ConfigError
from dlbench.ops.architectures import ARCHITECTURES
from dlbench.ops.catalogue import ops
from dlbench.ops.conv import Conv2d
from dlbench.ops.network import Network
from dlbench.ops.op import Op
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.suite import Suite, SuiteProblem, load_suite

NETWORKS = {
    "alexnet": (5, 5, 0.655567, 0.058622, 0.714188),
    "alexnet_two_towers": (5, 5, 0.665785, 0.058622, 0.724407),
    "overfeat": (5, 5, 2.671479, 0.129925, 2.801404),
    "zfnet": (5, 5, 1.109411, 0.058622, 1.168033),
    "vgg11": (8, 7, 7.485456, 0.123634, 7.609090),
    "vgg16": (13, 9, 15.346631, 0.123634, 15.470264),
    "googlenet": (57, 49, 1.581648, 0.001024, 1.582672),
    "resnet50": (53, 23, 4.087136, 0.002048, 4.089184),
    "resnet50_v1": (53, 20, 3.855925, 0.002048, 3.857973),
    "mobilenet_v1": (27, 19, 0.567716, 0.001024, 0.568740),
    "darknet53": (52, 16, 9.284092, 0.001024, 9.285116),
}
"""Convolutions, distinct ones among them, and the multiply-adds for one image of these, of the fully connected layers and of
both, in 10⁹ to six decimals."""
POOLS = {
    "alexnet": (3, 0),
    "alexnet_two_towers": (3, 0),
    "overfeat": (3, 0),
    "zfnet": (3, 0),
    "vgg11": (5, 0),
    "vgg16": (5, 0),
    "googlenet": (13, 1),
    "resnet50": (1, 1),
    "resnet50_v1": (1, 1),
    "mobilenet_v1": (0, 1),
    "darknet53": (0, 1),
}
"""Pools over the largest and over the mean."""
CLASSIFIERS = {
    "alexnet": [(9216, 4096), (4096, 4096), (4096, 1000)],
    "alexnet_two_towers": [(9216, 4096), (4096, 4096), (4096, 1000)],
    "overfeat": [(36864, 3072), (3072, 4096), (4096, 1000)],
    "zfnet": [(9216, 4096), (4096, 4096), (4096, 1000)],
    "vgg11": [(25088, 4096), (4096, 4096), (4096, 1000)],
    "vgg16": [(25088, 4096), (4096, 4096), (4096, 1000)],
    "googlenet": [(1024, 1000)],
    "resnet50": [(2048, 1000)],
    "resnet50_v1": [(2048, 1000)],
    "mobilenet_v1": [(1024, 1000)],
    "darknet53": [(1024, 1000)],
}
"""Inputs and outputs of the fully connected layers."""
IMAGES = dict.fromkeys(NETWORKS, 224) | {"alexnet_two_towers": 227, "overfeat": 231, "darknet53": 256}
QUOTED = {
    "alexnet": ("0.71", "one tower"),
    "alexnet_two_towers": ("0.724", "two towers"),
    "vgg11": ("7.61", "configuration A"),
    "vgg16": ("15.47", "configuration D"),
    "resnet50": ("4.09", "v1.5"),
    "mobilenet_v1": ("0.569", "arXiv 1704.04861, table 4: 569 million multiply-adds"),
}
"""What is published or usually quoted for the whole network, in 10⁹ multiply-adds, and of what."""
NEAR = {
    "overfeat": (2.81, "arXiv 1312.6229: 2810 million connections"),
    "googlenet": (1.5, "arXiv 1409.4842: about 1.5 billion multiply-adds, its budget"),
    "resnet50_v1": (3.8, "arXiv 1512.03385: 3.8 billion multiply-adds"),
    "darknet53": (9.35, "arXiv 1804.02767, table 2: 18.7 billion operations"),
}
"""Figures that were published without a word of what is counted, and are a little off what the layers have."""


def made(suite: Suite) -> Iterator[tuple[SuiteProblem, Op]]:
    known = ops()
    return ((one, known[one.op](**one.params)) for one in suite.problems)


def convolutions(suite: Suite) -> list[Conv2d]:
    return [op for _, op in made(suite) if isinstance(op, Conv2d)]


def macs(suite: Suite, *names: str) -> int:
    """Multiply-adds of these ops' problems."""
    return sum(one.count * op.flops("forward") // 2 for one, op in made(suite) if one.op in names)


def layers(suite: Suite, name: str) -> int:
    return sum(one.count for one in suite.problems if one.op == name)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_as_many_convolutions_and_multiply_adds_as_it_says(name: str) -> None:
    suite = load_suite(name)
    conv_layers, distinct, conv, fc, total = NETWORKS[name]
    assert (layers(suite, "conv2d"), len(convolutions(suite))) == (conv_layers, distinct)
    counted = (macs(suite, "conv2d"), macs(suite, "linear"), macs(suite, "conv2d", "linear"))
    assert tuple(round(one / 1e9, 6) for one in counted) == (conv, fc, total)
    assert suite.totals == {
        "conv_layers": conv_layers,
        "distinct_convs": distinct,
        "conv_gmac": conv,
        "fc_gmac": fc,
        "total_gmac": total,
    }


def test_eleven_networks_and_five_single_layers_have_168_distinct_convolutions_for_288_layers() -> None:
    counted = [load_suite(name).totals for name in (*NETWORKS, "convnet_benchmarks")]
    assert sum(one["distinct_convs"] for one in counted) == 168
    assert sum(one["conv_layers"] for one in counted) == 288


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_these_pools_and_this_classifier(name: str) -> None:
    suite = load_suite(name)
    assert (layers(suite, "max_pool2d"), layers(suite, "avg_pool2d")) == POOLS[name]
    classifier = [one.params for one in suite.problems if one.op == "linear"]
    assert [(one["in_features"], one["out_features"]) for one in classifier] == CLASSIFIERS[name]
    assert set(suite.ops) <= {"conv2d", "max_pool2d", "avg_pool2d", "linear"}


@pytest.mark.parametrize("name", NETWORKS)
def test_distinct_layers_have_distinct_shapes_and_batch_1(name: str) -> None:
    problems = [op for _, op in made(load_suite(name))]
    assert len({(op.name, op.label()) for op in problems}) == len(problems)
    assert {op.model_dump()["n"] for op in problems} == {1}


@pytest.mark.parametrize("name", QUOTED)
def test_a_whole_network_comes_to_what_is_quoted_for_it(name: str) -> None:
    quoted, _ = QUOTED[name]
    digits = len(quoted.partition(".")[2])
    assert f"{macs(load_suite(name), 'conv2d', 'linear') / 1e9:.{digits}f}" == quoted


@pytest.mark.parametrize("name", NEAR)
def test_a_whole_network_comes_near_what_its_paper_says(name: str) -> None:
    published, _ = NEAR[name]
    assert macs(load_suite(name), "conv2d", "linear") / 1e9 == pytest.approx(published, rel=0.06)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_classifier_takes_what_the_last_pool_gives(name: str) -> None:
    suite = load_suite(name)
    last = [op for one, op in made(suite) if one.op in ("max_pool2d", "avg_pool2d")][-1]
    (shape,) = last.outputs("forward").values()
    assert shape[0] == 1
    assert shape[1] * shape[2] * shape[3] == CLASSIFIERS[name][0][0]


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "googlenet"])
def test_the_image_is_the_only_input_that_no_layer_gives_unless_branches_are_joined(name: str) -> None:
    maps = [op for one, op in made(load_suite(name)) if one.op != "linear"]
    given = {op.outputs("forward")["y"] for op in maps}
    assert {op.inputs("forward")["x"] for op in maps} - given == {(1, 3, IMAGES[name], IMAGES[name])}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_suite_holds_the_layers_of_the_op_that_is_the_same_network(name: str) -> None:
    names = ("conv2d", "max_pool2d", "linear")  # its pool over the mean is an adaptive one
    in_network = Counter(
        (layer.op.name, layer.op.label())
        for layer in Network(model=name).layers
        if layer.op is not None and layer.op.name in names
    )
    in_suite = Counter[tuple[str, str]]()
    for one, op in made(load_suite(name)):
        if one.op in names:
            in_suite[op.name, op.label()] += one.count
    assert in_suite == in_network


def test_the_layers_of_convnet_benchmarks_are_five_at_a_batch_of_128() -> None:
    suite = load_suite("convnet_benchmarks")
    assert [op.label() for op in convolutions(suite)] == [
        "128×3×128×128 → 96, 11×11",
        "128×64×64×64 → 128, 9×9",
        "128×128×32×32 → 128, 9×9",
        "128×128×16×16 → 128, 7×7",
        "128×384×13×13 → 384, 3×3",
    ]
    assert [one.layer for one in suite.problems] == ["L1", "L2", "L3", "L4", "L5"]
    each = [op.flops("forward") // (2 * 128) for op in convolutions(suite)]
    assert each == [485_223_552, 2_080_899_072, 764_411_904, 80_281_600, 160_579_584]
    assert suite.totals == {"conv_layers": 5, "distinct_convs": 5, "conv_gmac": 3.571396}


def test_alexnet_is_the_one_of_a_single_tower() -> None:
    problems = convolutions(load_suite("alexnet"))
    assert [op.label() for op in problems] == [
        "1×3×224×224 → 64, 11×11 /4 pad 2",
        "1×64×27×27 → 192, 5×5 pad 2",
        "1×192×13×13 → 384, 3×3 pad 1",
        "1×384×13×13 → 256, 3×3 pad 1",
        "1×256×13×13 → 256, 3×3 pad 1",
    ]
    assert {op.groups for op in problems} == {1}


def test_the_published_alexnet_has_two_towers_that_meet_in_one_convolution() -> None:
    problems = convolutions(load_suite("alexnet_two_towers"))
    assert [op.groups for op in problems] == [1, 2, 1, 2, 2]
    assert [op.k for op in problems] == [96, 256, 384, 384, 256]


def test_mobilenet_alternates_depthwise_and_pointwise_convolutions() -> None:
    problems = {one.layer: op for one, op in made(load_suite("mobilenet_v1")) if isinstance(op, Conv2d)}
    depthwise = {layer for layer, op in problems.items() if op.groups == op.c == op.k}
    pointwise = {layer for layer, op in problems.items() if (op.r, op.s, op.groups) == (1, 1, 1)}
    assert depthwise == {layer for layer in problems if layer.startswith("dw")}
    assert pointwise == {layer for layer in problems if layer.startswith("pw")}
    assert set(problems) - depthwise - pointwise == {"conv1"}


def test_darknet53_halves_its_image_five_times_by_convolutions_alone() -> None:
    suite = load_suite("darknet53")
    strided = {one.layer: op for one, op in made(suite) if isinstance(op, Conv2d) and op.stride == 2}
    assert [(op.h, op.p) for op in strided.values()] == [(256, 128), (128, 64), (64, 32), (32, 16), (16, 8)]
    blocks = [one.count for one in suite.problems if one.layer.endswith("_3x3")]
    assert blocks == [1, 2, 8, 8, 4]


def test_the_pools_of_zfnet_round_up() -> None:
    pools = {one.layer: op for one, op in made(load_suite("zfnet")) if one.op == "max_pool2d"}
    shapes = {layer: (op.inputs("forward")["x"], op.outputs("forward")["y"]) for layer, op in pools.items()}
    assert shapes == {
        "pool1": ((1, 96, 110, 110), (1, 96, 55, 55)),
        "pool2": ((1, 256, 26, 26), (1, 256, 13, 13)),
        "pool5": ((1, 256, 13, 13), (1, 256, 6, 6)),
    }


def test_resnet50_is_version_1_5_with_the_stride_in_the_3_by_3_and_version_1_has_it_in_the_1_by_1() -> None:
    for name, branch in (("resnet50", "2b"), ("resnet50_v1", "2a")):
        problems = {one.layer: op for one, op in made(load_suite(name)) if isinstance(op, Conv2d)}
        strided = {layer for layer, op in problems.items() if op.stride == 2}
        halving = {f"res{stage}a_branch{one}" for stage in (3, 4, 5) for one in ("1", branch)}
        assert strided == {"conv1", *halving}


def test_the_convolutions_of_resnet50_come_to_the_published_figure_exactly() -> None:
    assert macs(load_suite("resnet50"), "conv2d") == 4_087_136_256


def test_vgg16_halves_the_image_four_times_and_keeps_it_within_a_stage() -> None:
    problems = convolutions(load_suite("vgg16"))
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


@pytest.mark.parametrize("name", builtin_names("suites"))
def test_a_suite_names_its_source_and_licence_and_says_at_its_head_what_it_is(name: str) -> None:
    path = builtin_path("suites", name)
    suite = load_suite(name)
    assert suite.name == name
    assert suite.source
    assert suite.licence
    assert path.read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("name", builtin_names("suites"))
def test_every_problem_of_a_suite_is_one_that_its_op_accepts(name: str) -> None:
    suite = load_suite(name)
    assert all(op.flops("forward") >= 0 for _, op in made(suite))
    assert suite.op in suite.ops


@pytest.mark.parametrize("name", builtin_names("suites"))
def test_a_layers_name_occurs_once_in_each_part_of_a_suite(name: str) -> None:
    named = Counter((one.part, one.layer) for one in load_suite(name).problems)
    assert set(named.values()) == {1}


def test_a_problem_without_an_op_or_a_part_has_its_suites_op_and_stands_in_the_suite_itself() -> None:
    suite = load_suite("alexnet")
    by_layer = {one.layer: one for one in suite.problems}
    assert [by_layer[name].op for name in ("conv1", "pool1", "fc6")] == ["conv2d", "max_pool2d", "linear"]
    assert {one.within("alexnet") for one in suite.problems} == {"alexnet"}
    assert suite.names == ("layer",)


def test_a_problem_in_a_part_stands_in_the_suite_and_the_part() -> None:
    suite = load_suite("deepbench_gemm")
    assert suite.problems[0].within("deepbench_gemm") == "deepbench_gemm/train"
    assert suite.names == ("layer", "part", "application")


TOP = "name: mine\ndescription: d\nop: copy\nsource: s\nlicence: l\n"
HEAD = TOP + "problems:\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TOP.replace("copy", "cpy") + "problems: []\n", "3: op: no op `cpy`\n  did you mean `copy`?"),
        (
            HEAD + "  - {layer: a, op: matmull, params: {m: 1}}\n",
            "7: problems[0].op: no op `matmull`\n  did you mean `matmul`?",
        ),
        (
            HEAD + "  - {layer: a, prt: x, params: {n: 1}}\n",
            "7: problems[0].prt: unknown key\n  did you mean `part`?",
        ),
        (HEAD + "  - {layer: a, part: 3, params: {n: 1}}\n", "7: problems[0].part: text is wanted, not `3`"),
        (HEAD + "  - {layer: a, count: 0, params: {n: 1}}\n", "7: problems[0].count: `0` is less than 1"),
        (HEAD + "  - {params: {n: 1}}\n", "7: problems[0]: `layer` is missing"),
    ],
)
def test_a_mistake_in_a_suite_is_named_with_file_line_key_and_the_nearest_word(
    text: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "broken.yaml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setattr("dlbench.plan.builtin._folder", lambda _: tmp_path)
    with pytest.raises(ConfigError) as caught:
        load_suite("broken")
    assert str(caught.value) == f"{path}:{message}"
