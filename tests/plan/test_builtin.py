"""The configs and suites that come with dlbench are what they say."""

from __future__ import annotations

import itertools

import pytest

from dlbench.api import variants
from dlbench.errors import ConfigError
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.case import Case
from dlbench.plan.config import load_config
from dlbench.plan.suite import load_suite
from dlbench.plan.sweep import cases, count, named_devices

KNOWN = variants()


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
        "activations",
        "attention",
        "autodiff",
        "bandwidth",
        "conv",
        "convolutions",
        "cudnn_speedup",
        "deepbench",
        "dense",
        "gpu_compare",
        "gpu_vs_cpu",
        "indexing",
        "losses",
        "matmul",
        "networks",
        "noise",
        "normalization",
        "optimizers",
        "peaks",
        "pooling",
        "quick",
        "recurrent",
        "softmax",
        "training",
        "transformers",
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
        layers = {problem.layer for problem in load_suite(network).problems if problem.op == "conv2d"}
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
        problem.layer for problem in load_suite("alexnet").problems if problem.op == "conv2d"
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


DEEPBENCH = ("deepbench_gemm", "deepbench_conv", "deepbench_rnn", "deepbench_sparse_gemm")
GRADIENTS = {
    "matmul": {"forward"},
    "spmm": {"forward"},
    "conv2d": {"forward", "backward_data", "backward_weight"},
    **{name: {"forward", "backward"} for name in ("rnn", "lstm", "gru")},
}
"""The directions that DeepBench's problems of training are asked in."""


def test_an_accelerator_gets_every_problem_of_deepbench_those_of_training_in_every_direction() -> None:
    found = [case for case in planned("deepbench", ("cuda:0",)) if case.device == "cuda:0"]
    asked = {
        (case.suite, case.layer, case.problem.direction) for case in found if case.problem.dtype == "float32"
    }
    assert asked == {
        (one.within(name), one.layer, direction)
        for name in DEEPBENCH
        for one in load_suite(name).problems
        for direction in (GRADIENTS[one.op] if one.part == "train" else {"forward"})
    }
    assert len(asked) == 622 + 2 * 94 + 53
    halves = {case.suite for case in found if case.problem.dtype == "float16"}
    assert halves == {suite for suite, _, _ in asked if not suite.startswith("deepbench_sparse_gemm")}


def test_a_processor_gets_what_two_cores_can_bear_of_each_of_deepbenchs_suites() -> None:
    found = planned("deepbench")
    assert {case.suite for case in found} == {
        "",  # dense products beside the sparse ones
        *(f"{name}/{part}" for name in DEEPBENCH for part in ("inference_device", "inference_server")),
        *("deepbench_gemm/train", "deepbench_conv/train", "deepbench_rnn/train"),
    } - {"deepbench_conv/inference_server"}
    assert {case.device for case in found} == {"cpu"}
    # Some three seconds a pass at the 3·10¹⁰ operations per second of two cores, and two copies of the largest in memory.
    assert sum(case.problem.flops for case in found) < 1e11
    assert max(case.problem.traffic for case in found) < 2**28
    asked = {(case.suite, case.layer) for case in found}
    assert asked >= {
        (one.within(name), one.layer)
        for name in ("deepbench_gemm", "deepbench_conv", "deepbench_rnn")
        for one in load_suite(name).problems
        if one.part == "inference_device"
    }


TRANSFORMERS = ("bert_base", "bert_large", "gpt2", "llama3_8b", "vit_b16")


def test_an_accelerator_gets_every_pass_of_the_transformers_whole() -> None:
    found = [case for case in planned("transformers", ("cuda:0",)) if case.device == "cuda:0"]
    asked = {(case.suite, case.layer) for case in found if str(case.variant) == "torch:library"}
    left_out = "llama3_8b/train_b1_s8192/unfused"
    assert asked == {
        (one.within(name), one.layer)
        for name in TRANSFORMERS
        for one in load_suite(name).problems
        if one.within(name) != left_out
    }
    kernels = {str(case.variant) for case in found if case.baseline == "torch:math"}
    assert kernels == {"torch:math", "torch:efficient", "torch:flash", "torch:cudnn"}
    assert {case.problem.dtype for case in found} == {"bfloat16"}


def test_a_processor_gets_whole_passes_of_the_transformers_and_of_llama_all_but_its_tables() -> None:
    found = planned("transformers")
    asked = {(case.suite, case.layer) for case in found}
    of_bert = ("bert_base/b1_s128", "bert_base/b1_s128/unfused", "bert_base/b1_s128/fused")
    passes = (*of_bert, "vit_b16/b1", "gpt2/decode_b8_kv1024", "llama3_8b/decode_b1_kv2048")
    tables = {(passes[-1], layer) for layer in ("token_embedding", "lm_head")}
    wanted = {
        (one.within(name), one.layer)
        for name in TRANSFORMERS
        for one in load_suite(name).problems
        if one.within(name) in passes
    }
    assert asked == wanted - tables
    assert {str(case.variant) for case in found} == {"torch:native", "torch:library"}


def test_a_config_for_a_gpu_takes_the_one_that_is_named_in_the_place_of_the_first() -> None:
    for name in ("cudnn_speedup", "gpu_compare"):
        config = load_config(name).on(("cuda:1",))
        assert {case.device for case in cases(config, ("cuda:1",), KNOWN)} == {"cuda:1"}


def test_the_built_in_suites_are_these() -> None:
    assert list(builtin_names("suites")) == [
        "alexnet",
        "alexnet_two_towers",
        "bert_base",
        "bert_large",
        "convnet_benchmarks",
        "darknet53",
        "deepbench_conv",
        "deepbench_gemm",
        "deepbench_gemm_thin",
        "deepbench_rnn",
        "deepbench_sparse_gemm",
        "googlenet",
        "gpt2",
        "llama3_8b",
        "mobilenet_v1",
        "overfeat",
        "resnet50",
        "resnet50_v1",
        "vgg11",
        "vgg16",
        "vit_b16",
        "zfnet",
    ]


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
