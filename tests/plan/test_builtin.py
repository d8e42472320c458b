"""The configs and suites that come with dlbench are what they say."""

from __future__ import annotations

import itertools
import math

import pytest

from dlbench.errors import ConfigError
from dlbench.ops.catalogue import ops
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.case import Case
from dlbench.plan.config import load_config
from dlbench.plan.suite import load_suite
from dlbench.plan.sweep import cases, count, named_devices

KNOWN = {
    "cupy": ("naive", "tiled", "cudnn", "library"),
    "numba": ("naive",),
    "numpy": ("library", "native", "im2col"),
    "torch": ("library", "native"),
}


def planned(name: str, there: tuple[str, ...] = ("cpu",)) -> list[Case]:
    """The cases of a built-in config on a machine with these devices, as a run plans them."""
    config = load_config(name)
    return list(cases(config, named_devices(config.devices, there), KNOWN))


@pytest.mark.parametrize("name", builtin_names("configs"))
def test_a_built_in_config_plans_cases_of_different_keys(name: str) -> None:
    config = load_config(name)
    keys = [case.key for case in cases(config, ("cpu",), KNOWN)]
    assert config.description
    assert 0 < len(keys) == len(set(keys)) <= count(config, ("cpu",))


def test_the_built_in_configs_are_these() -> None:
    assert list(builtin_names("configs")) == [
        "bandwidth",
        "conv",
        "cudnn_speedup",
        "gpu_compare",
        "gpu_vs_cpu",
        "matmul",
        "noise",
        "peaks",
        "quick",
        "softmax",
    ]


def test_conv_has_92_cases_for_each_device() -> None:
    config = load_config("conv")
    assert count(config, ("cpu",)) == 4 * 23
    assert count(config, ("cpu", "cuda:0")) == 2 * 4 * 23


def test_conv_measures_every_layer_in_four_ways_within_three_minutes() -> None:
    config = load_config("conv")
    found = list(cases(config, ("cpu",), KNOWN))
    assert {str(case.variant) for case in found} == {
        "numba:naive",
        "numpy:im2col",
        "torch:native",
        "torch:library",
    }
    assert {(case.problem.dtype, case.problem.direction, case.baseline) for case in found} == {
        ("float32", "forward", "numba:naive")
    }
    assert {case.problem.op.model_dump()["n"] for case in found} == {1}
    assert config.measure.budget == 180.0


def test_conv_names_the_layers_that_stand_for_resnet_50s_53_convolutions() -> None:
    layers = {case.layer: case for case in cases(load_config("conv"), ("cpu",), KNOWN)}
    assert sum(case.count for case in layers.values()) == 53
    assert sum(case.count * case.problem.flops for case in layers.values()) == 2 * 4_087_136_256


def test_the_softmax_config_has_both_ops_and_the_quick_one_all_three_families() -> None:
    assert {case.problem.op.name for case in cases(load_config("softmax"), ("cpu",), KNOWN)} == {
        "softmax",
        "log_softmax",
    }
    quick = load_config("quick")
    assert {case.problem.op.name for case in cases(quick, ("cpu",), KNOWN)} == {"conv2d", "matmul", "softmax"}
    assert quick.measure.budget is not None
    assert quick.measure.budget < 20


def test_the_peaks_config_takes_triad_over_sizes_that_grow_and_products_in_both_precisions() -> None:
    found = [case.problem for case in cases(load_config("peaks"), ("cpu",), KNOWN)]
    sizes = [problem.traffic for problem in found if problem.op.name == "triad"]
    assert sizes == sorted(set(sizes))
    assert sizes[0] <= 64 * 2**10
    assert sizes[-1] >= 512 * 2**20  # past the last-level cache of any processor of today
    assert {problem.dtype for problem in found if problem.op.name == "matmul"} == {"float32", "float64"}


def test_the_cudnn_config_asks_every_layer_of_four_networks_in_every_direction_and_way_on_a_gpu() -> None:
    on_gpu = [case for case in planned("cudnn_speedup") if case.device == "cuda:0"]
    found = [case for case in on_gpu if case.baseline == "cupy:naive" and not case.flags]
    ways = {"cupy:naive", "cupy:tiled", "torch:native", "torch:library", "cupy:cudnn"}
    directions = {"forward", "backward_data", "backward_weight"}
    for network in ("alexnet", "vgg16", "resnet50", "googlenet"):
        here = [case for case in found if case.suite == network]
        layers = {problem.layer for problem in load_suite(network).problems}
        asked = {(case.layer, case.problem.direction, str(case.variant)) for case in here}
        assert asked == set(itertools.product(layers, directions, ways))
    assert len(found) == (5 + 9 + 23 + 49) * 3 * 5
    assert {(case.problem.dtype, case.layout) for case in found} == {("float32", "")}
    ways_to_call = [case for case in on_gpu if case.baseline == "torch:library"]
    assert {(case.problem.dtype, case.layout, case.cudnn_benchmark) for case in ways_to_call} == {
        (dtype, layout, benchmark)
        for dtype, layout, benchmark in itertools.product(
            ("float32", "tf32", "float16"), ("", "NHWC"), (False, True)
        )
        if (dtype, layout, benchmark) != ("float32", "", False)  # which is a row of the others already
    }
    assert {case.layer for case in on_gpu if case.mode == "all-plans"} == {
        problem.layer for problem in load_suite("alexnet").problems
    }


def test_the_cudnn_config_asks_the_same_of_a_processors_library_where_plain_loops_can_bear_it() -> None:
    found = [case for case in planned("cudnn_speedup") if case.device == "cpu"]
    assert {case.suite for case in found} == {"alexnet", "vgg16", "resnet50", "googlenet"}
    assert {str(case.variant) for case in found} == {"numba:naive", "torch:native", "torch:library"}
    assert {(case.baseline, case.problem.direction) for case in found} == {("numba:naive", "forward")}
    operations = sum(case.problem.flops for case in found if case.variant.name == "naive")
    assert operations < 4.5e9  # some five seconds a pass at the 10⁹ operations per second of such loops


def test_a_gpu_is_held_against_a_baseline_that_only_the_processor_has() -> None:
    found = planned("gpu_vs_cpu", ("cpu", "cuda:0"))
    computed = [case for case in found if case.problem.op.name not in ("to_device", "to_host")]
    by_device = {
        device: {case.group for case in computed if case.device == device} for device in ("cpu", "cuda:0")
    }
    assert by_device["cpu"] == by_device["cuda:0"]
    assert {case.variant.backend for case in computed if case.device == "cuda:0"} == {"torch", "cupy"}
    based = {case.group for case in computed if str(case.variant) == case.baseline and case.device == "cpu"}
    assert based == by_device["cpu"]
    assert {case.device for case in found if case not in computed} == {"cuda:0"}


def test_the_bandwidth_config_takes_every_kernel_from_4_kib_to_4_gib_on_both_devices() -> None:
    found = planned("bandwidth")
    for device, op in itertools.product(("cpu", "cuda:0"), ("copy", "scale", "add", "triad")):
        sizes = [
            case.problem.traffic for case in found if (case.device, case.problem.op.name) == (device, op)
        ]
        assert sizes == sorted(set(sizes))
        assert sizes[0] == pytest.approx(4 * 2**10, rel=0.02)
        assert sizes[-1] == pytest.approx(4 * 2**30, rel=0.02)
        assert max(later / size for size, later in itertools.pairwise(sizes)) == 4


def test_transfers_go_both_ways_from_both_kinds_of_memory_and_on_a_gpu_only() -> None:
    for name in ("bandwidth", "gpu_compare", "gpu_vs_cpu"):
        found = [case for case in planned(name) if case.problem.op.name in ("to_device", "to_host")]
        kinds = {(case.problem.op.name, case.problem.op.model_dump()["pinned"]) for case in found}
        assert kinds == set(itertools.product(("to_device", "to_host"), (False, True)))
        assert {case.device for case in found} == {"cuda:0"}


def test_a_cards_portrait_has_every_kind_of_work_and_format() -> None:
    measure, found = load_config("gpu_compare").measure, planned("gpu_compare")
    assert {case.problem.op.name for case in found} == {
        *("matmul", "conv2d", "attention", "softmax", "sum", "transpose"),
        *("copy", "triad", "to_device", "to_host"),
    }
    squares = [case for case in found if case.problem.op.name == "matmul" and not case.suite]
    assert {case.problem.dtype for case in squares} == {"float32", "tf32", "float16", "bfloat16"}
    assert {case.device for case in found} == {"cuda:0"}
    assert measure.rounds.min == 4  # fewer could not be held beside another card's
    assert measure.budget == 600.0


def test_a_config_for_a_gpu_takes_the_one_that_is_named_in_the_place_of_the_first() -> None:
    for name in ("cudnn_speedup", "gpu_compare"):
        config = load_config(name).on(("cuda:1",))
        assert {case.device for case in cases(config, ("cuda:1",), KNOWN)} == {"cuda:1"}


@pytest.mark.parametrize("name", builtin_names("suites"))
def test_a_built_in_suite_holds_problems_that_its_op_accepts_under_different_names(name: str) -> None:
    suite = load_suite(name)
    kind = ops()[suite.op]
    made = [kind(**problem.params) for problem in suite.problems]
    assert suite.name == name
    assert suite.source
    assert suite.licence
    assert len({problem.layer for problem in suite.problems}) == len(made)


def test_resnet50_has_the_published_figures() -> None:
    suite = load_suite("resnet50")
    macs = sum(one.count * ops()["conv2d"](**one.params).flops("forward") // 2 for one in suite.problems)
    assert (len(suite.problems), sum(one.count for one in suite.problems)) == (23, 53)
    assert (suite.totals["distinct_convs"], suite.totals["conv_layers"]) == (23, 53)
    assert macs == 4_087_136_256
    assert math.isclose(macs / 1e9, suite.totals["conv_gmac"], abs_tol=5e-7)  # published to six decimals


def test_resnet50_is_version_1_5_with_the_stride_in_the_3_by_3() -> None:
    strided = {one.layer for one in load_suite("resnet50").problems if one.params.get("stride", 1) == 2}
    halving = {f"res{stage}a_branch{branch}" for stage in (3, 4, 5) for branch in ("1", "2b")}
    assert strided == {"conv1", *halving}


def test_each_deepbench_product_is_as_thin_as_the_suites_rule_says_and_counted() -> None:
    suite = load_suite("deepbench_gemm_thin")
    thinnest = [min(int(one.params["m"] or 0), int(one.params["n"] or 0)) for one in suite.problems]
    assert max(thinnest) <= 64
    assert min(thinnest) > 0
    assert suite.totals == {"problems": len(suite.problems)}


def test_an_unknown_suite_has_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        load_suite("resnet-50")
    assert str(caught.value) == "no suite `resnet-50`\n  did you mean `resnet50`?"


@pytest.mark.parametrize(
    ("kind", "name"),
    [*(("configs", n) for n in builtin_names("configs")), *(("suites", n) for n in builtin_names("suites"))],
)
def test_the_path_of_a_built_in_name_is_a_file(kind: str, name: str) -> None:
    assert builtin_path("configs" if kind == "configs" else "suites", name).is_file()
