"""The configs and suites that come with dlbench are what they say."""

from __future__ import annotations

import math

import pytest

from dlbench.errors import ConfigError
from dlbench.ops.catalogue import ops
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.config import load_config
from dlbench.plan.suite import load_suite
from dlbench.plan.sweep import cases, count

KNOWN = {"numba": ("naive",), "numpy": ("library", "native", "im2col"), "torch": ("library", "native")}


@pytest.mark.parametrize("name", builtin_names("configs"))
def test_a_built_in_config_plans_cases_of_different_keys(name: str) -> None:
    config = load_config(name)
    keys = [case.key for case in cases(config, ("cpu",), KNOWN)]
    assert config.description
    assert 0 < len(keys) == len(set(keys)) <= count(config, ("cpu",))


def test_the_built_in_configs_are_these() -> None:
    assert list(builtin_names("configs")) == ["conv", "matmul", "noise", "peaks", "quick", "softmax"]


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
