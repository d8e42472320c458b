"""Cases come lazily, in a fixed order, each once; they are counted without being made."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlbench.errors import ConfigError, SelectionError
from dlbench.plan.config import Config, load_config
from dlbench.plan.sweep import cases, count

KNOWN = {"numba": ("naive",), "torch": ("library", "native")}
Load = Callable[[str], Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loader(sweeps: str) -> Config:
        path = tmp_path / "c.yaml"
        path.write_text(
            "variants: [numba:naive, torch:library]\nbaseline: numba:naive\n" + sweeps, encoding="utf-8"
        )
        return load_config(path)

    return loader


def test_all_devices_and_variants_of_a_problem_come_together(load: Load) -> None:
    config = load("sweeps: [{op: copy, params: {n: [1, 2]}}]")
    found = [
        (case.problem.op.label(), case.device, str(case.variant))
        for case in cases(config, ("cpu", "cuda:0"), KNOWN)
    ]
    one, two = found[0][0], found[4][0]
    assert one != two
    assert found == [
        (label, device, variant)
        for label in (one, two)
        for device in ("cpu", "cuda:0")
        for variant in ("numba:naive", "torch:library")
    ]


def test_every_axis_is_crossed(load: Load) -> None:
    config = load(
        "sweeps: [{op: copy, params: {n: 1}, dtype: [float32, float64], cache: [hot, cold], data: [zeros, normal]}]"
    )
    found = {(case.problem.dtype, case.cache, case.problem.data) for case in cases(config, ("cpu",), KNOWN)}
    assert found == set(itertools.product(("float32", "float64"), ("hot", "cold"), ("zeros", "normal")))


def test_a_case_carries_its_suite_layer_count_and_baseline(load: Load) -> None:
    config = load("sweeps: [{op: conv2d, suite: resnet50, where: {layer: res4a_branch2c}}]")
    case = next(cases(config, ("cpu",), KNOWN))
    assert (case.suite, case.layer, case.count, case.baseline) == (
        "resnet50",
        "res4a_branch2c",
        6,
        "numba:naive",
    )


def test_a_sweep_takes_the_problems_of_each_op_that_it_names_from_a_suite_of_several(load: Load) -> None:
    config = load("sweeps: [{op: [linear, conv2d], suite: alexnet, variants: torch:library}]")
    found = list(cases(config, ("cpu",), KNOWN))
    assert [(case.problem.op.name, case.layer) for case in found] == [
        *(("linear", layer) for layer in ("fc6", "fc7", "fc8")),
        *(("conv2d", layer) for layer in ("conv1", "conv2", "conv3", "conv4", "conv5")),
    ]
    assert {case.suite for case in found} == {"alexnet"}
    assert count(config, ("cpu",)) == len(found)


def test_a_filter_holds_for_the_problems_of_every_op(load: Load) -> None:
    config = load(
        "sweeps: [{op: [conv2d, max_pool2d], suite: alexnet, where: {layer: '*[12]', h: [55, 224]}, variants: torch:library}]"
    )
    assert [case.layer for case in cases(config, ("cpu",), KNOWN)] == ["conv1", "pool1"]
    assert count(config, ("cpu",)) == 2


def test_parameters_are_crossed_with_the_problems_of_every_op(load: Load) -> None:
    config = load(
        "sweeps: [{op: [conv2d, linear], suite: alexnet, params: {n: [1, 8]}, variants: torch:library}]"
    )
    found = list(cases(config, ("cpu",), KNOWN))
    expected = {*(f"conv{number}" for number in range(1, 6)), *(f"fc{number}" for number in range(6, 9))}
    assert {(case.layer, case.problem.op.model_dump()["n"]) for case in found} == set(
        itertools.product(expected, (1, 8))
    )
    assert count(config, ("cpu",)) == len(found) == 16


def test_a_case_stands_in_the_part_of_the_suite_that_it_is_from(load: Load) -> None:
    config = load(
        "sweeps: [{op: matmul, suite: deepbench_gemm, where: {part: inference_*, application: KWS}, variants: torch:library}]"
    )
    (case,) = cases(config, ("cpu",), KNOWN)
    assert case.suite == "deepbench_gemm/inference_device"
    assert case.layer == "inference_device_003"
    assert case.group == f"{case.problem.key}|hot|deepbench_gemm/inference_device|inference_device_003"


def test_several_ops_each_take_every_problem_that_is_given_without_a_suite(load: Load) -> None:
    config = load("sweeps: [{op: [copy, scale], problems: [{n: 1}, {n: 2}], variants: torch:library}]")
    found = [
        (case.problem.op.name, case.problem.op.model_dump()["n"]) for case in cases(config, ("cpu",), KNOWN)
    ]
    assert found == list(itertools.product(("copy", "scale"), (1, 2)))
    assert count(config, ("cpu",)) == 4


def test_a_sweeps_own_variants_baseline_and_devices_go_before_the_configs(load: Load) -> None:
    config = load(
        "sweeps: [{op: copy, params: {n: 1}, variants: torch:native, baseline: torch:library, devices: cuda:1}]"
    )
    (case,) = cases(config, ("cpu", "cuda:0"), KNOWN)
    assert (str(case.variant), case.baseline, case.device) == ("torch:native", "torch:library", "cuda:1")


def test_a_case_that_two_sweeps_ask_for_comes_once_and_counts_twice(load: Load) -> None:
    config = load("sweeps: [{op: copy, params: {n: [1, 2]}}, {op: copy, params: {n: [2, 3]}}]")
    keys = [case.key for case in cases(config, ("cpu",), KNOWN)]
    assert (len(keys), len(set(keys)), count(config, ("cpu",))) == (6, 6, 8)


def test_the_same_problem_in_another_layer_is_another_case(load: Load) -> None:
    config = load(
        "sweeps: [{op: conv2d, suite: resnet50, params: {c: 8, h: 8, w: 8, k: 8, r: 1, s: 1, stride: 1, pad: 0}}]"
    )
    assert len(list(cases(config, ("cpu",), KNOWN))) == 2 * 23


def test_an_unknown_variant_is_refused_before_the_first_case_is_asked_for(load: Load) -> None:
    config = load("sweeps: [{op: copy, params: {n: 1}}]")
    with pytest.raises(ConfigError, match="no backend `numba`"):
        cases(config, ("cpu",), {"torch": ("library",)})


def test_a_config_made_without_a_file_is_checked_as_well() -> None:
    sweep = {"op": "copy", "params": {"m": 1}}
    config = Config.model_validate({"variants": "torch:library", "sweeps": [sweep]})
    with pytest.raises(ConfigError) as caught:
        cases(config, ("cpu",), KNOWN)
    assert str(caught.value) == "sweeps[0].params.m: copy has no parameter `m`\n  known: n"


def test_a_sweep_of_a_billion_billion_cases_is_counted_and_begun_at_once(load: Load) -> None:
    million = "{from: 1, to: 1000000, step: 1}"
    config = load(f"sweeps: [{{op: matmul, params: {{m: {million}, n: {million}, k: {million}}}}}]")
    tracemalloc.start()
    assert count(config, ("cpu",)) == 2 * 10**18
    first = list(itertools.islice(cases(config, ("cpu",), KNOWN), 1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len({case.key for case in first}) == 1000
    assert peak < 20e6  # bytes; one axis alone, written out, would be 36 MB


VALUES = st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True)
RANGES = st.builds(
    lambda first, more, step: {"from": first, "to": first + more, "step": step},
    st.integers(1, 20), st.integers(0, 6), st.integers(1, 4),
)  # fmt: skip
SUBSETS = {
    "dtype": st.lists(st.sampled_from(["float32", "float64"]), min_size=1, unique=True),
    "cache": st.lists(st.sampled_from(["hot", "cold"]), min_size=1, unique=True),
    "data": st.lists(st.sampled_from(["normal", "zeros"]), min_size=1, unique=True),
    "variants": st.lists(st.sampled_from(["numba:naive", "torch:library"]), min_size=1, unique=True),
}


@settings(max_examples=60, deadline=None)
@given(
    params=st.fixed_dictionaries(dict.fromkeys(("m", "n", "k"), VALUES | RANGES)),
    axes=st.fixed_dictionaries(SUBSETS),
    devices=st.lists(st.sampled_from(["cpu", "cuda:0"]), min_size=1, unique=True),
)
def test_the_count_is_the_number_of_cases_of_a_sweep_that_repeats_nothing(
    params: dict[str, object], axes: dict[str, list[str]], devices: list[str]
) -> None:
    config = Config.model_validate({"sweeps": [{"op": "matmul", "params": params, **axes}]})
    keys = [case.key for case in cases(config, devices, KNOWN)]
    assert count(config, devices) == len(keys) == len(set(keys))


@settings(max_examples=60, deadline=None)
@given(
    first=st.integers(1, 1000), span=st.integers(0, 10**5), factor=st.integers(2, 9), step=st.integers(1, 999)
)
def test_a_range_holds_what_its_words_say(first: int, span: int, factor: int, step: int) -> None:
    def values(kind: str, by: int) -> list[object]:
        params = {"n": {"from": first, "to": first + span, kind: by}}
        config = Config.model_validate({"variants": "a:b", "sweeps": [{"op": "copy", "params": params}]})
        return list(config.sweeps[0].values("n"))

    assert values("step", step) == [n for n in range(first, first + span + 1) if (n - first) % step == 0]
    grown = [first * factor**power for power in range(18)]
    assert values("factor", factor) == [n for n in grown if n <= first + span]


def test_layouts_launches_modes_and_switches_are_ways_to_make_one_problems_calls(load: Load) -> None:
    config = load(
        "sweeps: [{op: conv2d, problems: [{c: 1, h: 4, w: 4, k: 1, r: 1, s: 1}], variants: torch:library,\n"
        "  layout: [NCHW, NHWC], launch: [eager, graph], cudnn_benchmark: [false, true]}]"
    )
    found = list(cases(config, ("cpu",), KNOWN))
    assert [(case.layout, case.flags) for case in found] == [
        ("", ()),
        ("", ("cudnn.benchmark",)),
        ("", ("graph",)),
        ("", ("cudnn.benchmark", "graph")),
        ("NHWC", ()),
        ("NHWC", ("cudnn.benchmark",)),
        ("NHWC", ("graph",)),
        ("NHWC", ("cudnn.benchmark", "graph")),
    ]
    assert len({case.group for case in found}) == 1
    assert len({case.key for case in found}) == len(found) == count(config, ("cpu",))


def test_an_ordinary_case_has_the_key_that_it_had_before_there_were_other_ways(load: Load) -> None:
    config = load("sweeps: [{op: copy, params: {n: 8}, variants: torch:library}]")
    (case,) = cases(config, ("cpu",), KNOWN)
    assert case.key == f"{case.problem.key}|hot|||torch:library|cpu"


@pytest.mark.parametrize(
    ("words", "devices", "expected"),
    [
        ("all", ("cpu", "cuda:0"), ("cpu", "cuda:0")),
        ("accelerators", ("cpu", "cuda:0", "cuda:1"), ("cuda:0", "cuda:1")),
        ("accelerators", ("cpu",), ()),
        ("gpu", ("cpu", "xpu:0"), ("xpu:0",)),
        ("gpu", ("cpu",), ("cuda:0",)),
        ("[cpu, gpu]", ("cpu", "cuda:0"), ("cpu", "cuda:0")),
        ("[cuda:0, gpu]", ("cpu", "cuda:0"), ("cuda:0",)),
    ],
)
def test_a_sweep_names_devices_or_words_for_them(
    load: Load, words: str, devices: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    config = load(f"sweeps: [{{op: copy, params: {{n: 8}}, variants: torch:library, devices: {words}}}]")
    assert tuple(case.device for case in cases(config, devices, KNOWN)) == expected
    assert count(config, devices) == len(expected)


def test_a_config_on_one_device_keeps_the_sweeps_that_name_it_or_none(load: Load) -> None:
    config = load(
        "sweeps:\n"
        "  - {op: copy, params: {n: 1}, devices: [cpu, cuda:0]}\n"
        "  - {op: copy, params: {n: 2}, devices: cpu}\n"
        "  - {op: copy, params: {n: 3}, devices: gpu}\n"
        "  - {op: copy, params: {n: 4}}"
    )
    kept = config.on(["cuda:0"])
    assert [(sweep.values("n"), sweep.devices) for sweep in kept.sweeps] == [
        ((1,), ("cuda:0",)),
        ((3,), ("gpu",)),
        ((4,), None),
    ]
    assert kept.devices == ("cuda:0",)


def test_a_config_on_a_device_that_no_sweep_names_is_refused(load: Load) -> None:
    config = load("sweeps: [{op: copy, params: {n: 1}, devices: [cpu, cuda:0]}]")
    with pytest.raises(SelectionError, match=r"^no sweep of c is on cuda:3: they name cpu, cuda:0$"):
        config.on(["cuda:3"])
