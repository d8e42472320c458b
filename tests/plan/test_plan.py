"""From YAML to cases: crossed, zipped, ranged, filtered, lazily and in order."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dlbench.api import variants
from dlbench.ops.conv import Conv2d
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.case import Case
from dlbench.plan.config import Config, json_schema, load_config
from dlbench.plan.estimate import ROUND_START, estimate
from dlbench.plan.suite import load_suite
from dlbench.plan.sweep import cases, count, select


def config(sweep: dict[str, Any], **rest: Any) -> Config:
    return Config.model_validate({"variants": ["torch:library", "numba:naive"], "sweeps": [sweep]} | rest)


def planned(sweep: dict[str, Any], *only: str, **rest: Any) -> list[Case]:
    return list(select(cases(config(sweep, **rest), ["cpu"], variants()), only))


def shapes(found: list[Case]) -> list[tuple[int, ...]]:
    return list(dict.fromkeys((c.problem.op.m, c.problem.op.n, c.problem.op.k) for c in found))  # type: ignore[attr-defined]


def test_lists_are_crossed() -> None:
    found = planned({"op": "matmul", "params": {"m": [1, 2], "n": [3, 4], "k": 5}})
    assert shapes(found) == [(1, 3, 5), (1, 4, 5), (2, 3, 5), (2, 4, 5)]


def test_zipped_parameters_go_together() -> None:
    params = {"m": [1, 2], "n": [3, 4], "k": [5, 6]}
    assert shapes(planned({"op": "matmul", "params": params, "zip": ["m", "n"]})) == [
        (1, 3, 5),
        (1, 3, 6),
        (2, 4, 5),
        (2, 4, 6),
    ]


def test_zipped_parameters_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="zipped parameters differ in length: m 2, n 1"):
        config({"op": "matmul", "params": {"m": [1, 2], "n": [3], "k": 1}, "zip": ["m", "n"]})


@pytest.mark.parametrize(
    ("given_range", "values"),
    [
        ({"from": 1, "to": 10, "factor": 3}, [1, 3, 9]),
        ({"from": 2, "to": 8, "step": 3}, [2, 5, 8]),
        ({"from": 4, "to": 4, "factor": 2}, [4]),
    ],
)
def test_ranges_end_with_their_last_value_inside(given_range: dict[str, int], values: list[int]) -> None:
    assert [
        m for m, _, _ in shapes(planned({"op": "matmul", "params": {"m": given_range, "n": 1, "k": 1}}))
    ] == values


def test_problems_are_given_one_by_one() -> None:
    assert shapes(
        planned({"op": "matmul", "problems": [{"m": 7, "n": 8, "k": 9}, {"m": 1, "n": 2, "k": 3}]})
    ) == [(7, 8, 9), (1, 2, 3)]


def test_a_repeated_case_comes_once() -> None:
    twice = [{"m": 7, "n": 8, "k": 9}] * 2
    assert len(planned({"op": "matmul", "problems": twice})) == 2


def test_all_variants_of_a_problem_come_together() -> None:
    found = planned(
        {"op": "matmul", "params": {"m": [1, 2], "n": 1, "k": 1}, "dtype": ["float32", "float64"]}
    )
    assert [str(case.variant) for case in found] == ["torch:library", "numba:naive"] * 4
    assert [a.group == b.group for a, b in zip(found[::2], found[1::2], strict=True)] == [True] * 4


def test_a_suite_is_filtered_and_its_problems_changed() -> None:
    found = planned(
        {"op": "conv2d", "suite": "resnet50", "where": {"layer": "res5*", "r": 3}, "params": {"n": [1, 8]}}
    )
    assert {case.layer for case in found} == {"res5a_branch2b", "res5b_branch2b"}
    assert {case.problem.op.n for case in found} == {1, 8}  # type: ignore[attr-defined]
    assert {case.count for case in found if case.layer == "res5b_branch2b"} == {2}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("torch:*", 4),
        ("numba:naive", 4),
        ("m=2", 4),
        ("dtype=float64", 4),
        ("dtype=float64|float32", 8),
        ("matmul 1×*", 4),
    ],
)
def test_only_keeps_what_matches(pattern: str, expected: int) -> None:
    sweep = {"op": "matmul", "params": {"m": [1, 2], "n": 1, "k": 1}, "dtype": ["float32", "float64"]}
    assert len(planned(sweep, pattern)) == expected


def test_several_patterns_must_all_match() -> None:
    sweep = {"op": "matmul", "params": {"m": [1, 2], "n": 1, "k": 1}}
    assert len(planned(sweep, "m=2", "torch:*")) == 1


axes = st.dictionaries(
    st.sampled_from(["m", "n", "k"]), st.lists(st.integers(1, 9), min_size=1, max_size=4, unique=True)
)


@given(axes, st.lists(st.sampled_from(["float32", "float64"]), min_size=1, unique=True))
def test_counting_agrees_with_enumerating(params: dict[str, list[int]], dtypes: list[str]) -> None:
    sweep = {"op": "matmul", "params": {"m": 1, "n": 1, "k": 1} | params, "dtype": dtypes}
    found = config(sweep)
    assert count(found, ["cpu", "cuda:0"]) == len(list(cases(found, ["cpu", "cuda:0"], variants())))


def test_overrides_change_the_config_or_every_sweep() -> None:
    changed = load_config("quick", ["measure.budget=1m", "dtype=float64", "seed=7", "variants=torch:library"])
    assert changed.measure.budget == 60
    assert {sweep.dtype for sweep in changed.sweeps} == {("float64",)}
    assert {sweep.variants for sweep in changed.sweeps} == {None}
    assert (changed.seed, changed.variants) == (7, ("torch:library",))


@pytest.mark.parametrize("name", builtin_names("configs"))
def test_every_built_in_config_plans_unique_cases(name: str) -> None:
    found = load_config(name)
    keys = [case.key for case in cases(found, ["cpu"], variants())]
    assert len(set(keys)) == len(keys) == count(found, ["cpu"])
    assert found.measure.budget is not None
    assert found.description


def test_the_main_job_is_23_layers_in_four_variants() -> None:
    found = list(cases(load_config("conv"), ["cpu"], variants()))
    assert len(found) == 92
    assert {case.baseline for case in found} == {"numba:naive"}
    assert {case.problem.op.n for case in found} == {1}  # type: ignore[attr-defined]


def test_resnet50_has_53_convolutions_and_the_published_multiply_adds() -> None:
    suite = load_suite("resnet50")
    layers = [(Conv2d(**problem.params), problem.count) for problem in suite.problems]
    assert (len(layers), sum(times for _, times in layers)) == (23, 53)
    assert sum(op.flops("forward") * times for op, times in layers) / 2e9 == pytest.approx(4.087136, abs=5e-7)


def test_the_thin_products_of_deepbench_are_those_up_to_64_wide() -> None:
    suite = load_suite("deepbench_gemm_thin")
    assert len(suite.problems) == suite.totals["problems"] == 72
    assert max(min(p.params["m"], p.params["n"]) for p in suite.problems) <= 64


def test_the_schema_knows_every_op_and_variant() -> None:
    schema = json_schema(variants())
    text = json.dumps(schema)
    assert schema["$schema"].endswith("2020-12/schema")
    for word in ("matmul", "conv2d", "numba:naive", "torch:library", "float32", "backward_data", "budget"):
        assert f'"{word}"' in text


def test_the_schema_lets_a_single_value_stand_for_a_list() -> None:
    dtype = json_schema(variants())["$defs"]["Sweep"]["properties"]["dtype"]
    assert {option.get("type", "enum") for option in dtype["anyOf"]} == {"array", "enum"}


def test_built_in_files_say_where_their_numbers_are_from() -> None:
    for name in builtin_names("suites"):
        content = yaml.safe_load(Path(builtin_path("suites", name)).read_text())
        assert content["source"]
        assert content["licence"]


def test_the_estimate_grows_with_the_cases_and_knows_the_largest_problem() -> None:
    found = planned({"op": "matmul", "params": {"m": [64, 1024], "n": 64, "k": 64}})
    policy = config({"op": "matmul", "params": {"m": 1, "n": 1, "k": 1}}).measure
    one, ten = estimate(found, 4, policy), estimate(found, 40, policy)
    start = policy.rounds.min * ROUND_START
    assert ten.seconds - start == pytest.approx(10 * (one.seconds - start))
    elements = 1024 * 64 + 64 * 64 + 1024 * 64
    assert one.memory == elements * (4 + 3 * 8)
