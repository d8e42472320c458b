from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pytest
from runs import failed, measured, record, run_of

from dlbench.analysis.table import frame
from dlbench.analysis.totals import TYPES, totals
from dlbench.results.measurement import CaseRecord, Measurement


def _layer(implementation: str, layer: str, **changes: Any) -> CaseRecord:
    params = json.dumps({"c": {"conv1": 3, "conv2": 64}[layer], "n": changes.pop("n", 1)})
    return record(implementation, suite="net", layer=layer, params=params, **changes)


def _totals(measurements: Sequence[Measurement]) -> list[dict[str, Any]]:
    found = totals(frame(run_of(measurements)))
    rows = found.to_dict("records")
    return [{str(name): None if pd.isna(value) else value for name, value in row.items()} for row in rows]


def _network(**seconds: tuple[float, float]) -> list[Measurement]:
    names = {"naive": "numba:naive", "library": "torch:library"}
    return [
        measured(_layer(names[name], layer, count=count), time)
        for name, times in seconds.items()
        for layer, count, time in zip(("conv1", "conv2"), (1, 3), times, strict=True)
    ]


def test_a_total_weighs_each_layer_by_how_often_it_occurs() -> None:
    naive, library = _totals(_network(naive=(10e-3, 20e-3), library=(1e-3, 3e-3)))
    assert (naive["suite"], naive["backend"], naive["variant"], naive["device"]) == (
        "net",
        "numba",
        "naive",
        "cpu",
    )
    assert (naive["layers"], naive["problems"], naive["missing"]) == (4, 2, 0)
    assert naive["time_us"] == pytest.approx(70_000)
    assert library["time_us"] == pytest.approx(10_000)
    assert library["gflops"] == pytest.approx(4 * 2_000_000 / 10e-3 / 1e9)
    assert (naive["speedup"], library["speedup"]) == (1.0, pytest.approx(7.0))


def test_a_network_with_a_layer_that_failed_has_no_total_but_says_how_many_are_missing() -> None:
    measurements = _network(naive=(10e-3, 20e-3), library=(1e-3, 3e-3))
    measurements[3] = failed(measurements[3].case)
    _, library = _totals(measurements)
    assert (library["missing"], library["problems"], library["layers"]) == (1, 2, 4)
    assert (library["time_us"], library["gflops"], library["speedup"]) == (None, None, None)


def test_a_layer_that_a_variant_has_no_row_for_is_missing_from_its_total() -> None:
    _, library = _totals(_network(naive=(10e-3, 20e-3), library=(1e-3, 3e-3))[:3])
    assert (library["missing"], library["time_us"]) == (1, None)


def test_over_a_baseline_with_a_missing_layer_there_is_no_speedup() -> None:
    measurements = _network(naive=(10e-3, 20e-3), library=(1e-3, 3e-3))
    measurements[0] = failed(measurements[0].case)
    naive, library = _totals(measurements)
    assert naive["missing"] == 1
    assert (library["time_us"], library["speedup"]) == (pytest.approx(10_000), None)


def test_batches_are_summed_apart_and_named_by_what_sets_them_apart() -> None:
    measurements = [
        measured(_layer("torch:library", layer, n=n), n * 1e-3)
        for layer in ("conv1", "conv2")
        for n in (1, 8)
    ]
    found = _totals(measurements)
    assert [(row["setting"], row["problems"], row["time_us"]) for row in found] == [
        ("n=1", 2, pytest.approx(2_000)),
        ("n=8", 2, pytest.approx(16_000)),
    ]


@pytest.mark.parametrize("name", ["dtype", "direction", "cache", "data", "suite"])
def test_what_differs_is_summed_apart(name: str) -> None:
    changes: list[dict[str, Any]] = [{}, {name: "other"}]
    measurements = [
        measured(record(**{"suite": "net", "layer": layer, **change}), 1e-3)
        for change in changes
        for layer in ("conv1", "conv2")
    ]
    assert [(row["problems"], row["time_us"]) for row in _totals(measurements)] == [
        (2, pytest.approx(2_000))
    ] * 2


def test_devices_are_summed_apart_and_compared_with_the_only_one_that_has_the_baseline() -> None:
    cpu = _network(naive=(10e-3, 20e-3))
    gpu = [
        measured(_layer("torch:library", layer, count=c, device="cuda:0"), 1e-3)
        for layer, c in (("conv1", 1), ("conv2", 3))
    ]
    _, found = _totals([*cpu, *gpu])
    assert (found["device"], found["time_us"]) == ("cuda:0", pytest.approx(4_000))
    assert found["speedup"] == pytest.approx(70 / 4)


def test_layers_of_ops_without_a_choice_of_layouts_are_part_of_the_network_in_every_layout() -> None:
    convolutions = [
        measured(record(suite="net", layer="conv1", layout=layout, key=layout), time)
        for layout, time in (("NCHW", 10e-3), ("NHWC", 4e-3))
    ]
    classifier = measured(record(suite="net", layer="fc", op="linear", layout=""), 1e-3)
    found = _totals([*convolutions, classifier])
    assert [(row["layout"], row["missing"], row["time_us"], row["speedup"]) for row in found] == [
        ("NCHW", 0, pytest.approx(11_000), 1.0),
        ("NHWC", 0, pytest.approx(5_000), pytest.approx(11 / 5)),
    ]


def test_layers_without_a_layout_are_summed_apart_from_those_of_another_implementation() -> None:
    found = _totals(
        [
            measured(record(suite="net", layer="conv1", layout="NCHW"), 10e-3),
            measured(record("torch:library", suite="net", layer="fc", op="linear", layout=""), 1e-3),
        ]
    )
    assert [(row["backend"], row["layout"], row["missing"]) for row in found] == [
        ("numba", "NCHW", 1),
        ("torch", "", 1),
    ]


def test_problems_of_no_suite_have_no_total() -> None:
    found = totals(frame(run_of([measured(record(), 1e-3)])))
    assert len(found) == 0
    assert {name: str(kind) for name, kind in found.dtypes.items()} == TYPES


def test_a_suite_without_layer_names_counts_its_problems() -> None:
    cases = [
        record(suite="gemm", problem=f"matmul {size}", params=json.dumps({"m": size})) for size in (1, 2)
    ]
    (found,) = _totals([measured(case, 1e-3) for case in cases])
    assert (found["setting"], found["problems"], found["time_us"]) == ("", 2, pytest.approx(2_000))


def test_ops_without_operations_add_time_but_no_flops() -> None:
    (found,) = _totals([measured(record(suite="s", layer="copy", flops=0), 1e-3)])
    assert (found["time_us"], found["gflops"]) == (pytest.approx(1_000), None)


def test_a_network_without_a_single_layer_has_no_total() -> None:
    (found,) = _totals([measured(record(suite="s", layer="conv1", count=0), 1e-3)])
    assert (found["layers"], found["time_us"], found["gflops"]) == (0, None, None)


def _whole(implementation: str, seconds: float, **changes: Any) -> Measurement:
    params = {"model": "net", "n": 1, "size": None, "divisor": 1}
    params |= {name: changes.pop(name) for name in list(changes) if name in params}
    case = record(implementation, op="network", params=json.dumps(params, sort_keys=True), **changes)
    return measured(case, seconds)


def test_a_total_stands_beside_the_network_as_one_call() -> None:
    layers = _network(naive=(10e-3, 20e-3), library=(1e-3, 3e-3))
    wholes = [_whole("numba:naive", 75e-3), _whole("torch:library", 12e-3)]
    naive, library = _totals([*layers, *wholes])
    assert (naive["whole_us"], library["whole_us"]) == (pytest.approx(75_000), pytest.approx(12_000))
    assert (naive["layers"], naive["time_us"]) == (4, pytest.approx(70_000))


@pytest.mark.parametrize(
    "other",
    [
        {"model": "other"},
        {"n": 8},
        {"size": 64},
        {"divisor": 2},
        {"dtype": "float64"},
        {"cache": "cold"},
        {"device": "cuda:0"},
    ],
    ids=str,
)
def test_a_network_of_another_kind_is_not_the_whole_of_the_layers(other: dict[str, Any]) -> None:
    _, library = _totals(
        [*_network(naive=(10e-3, 20e-3), library=(1e-3, 3e-3)), _whole("torch:library", 12e-3, **other)]
    )
    assert library["whole_us"] is None


@pytest.mark.parametrize(("layout", "whole"), [("NCHW", 12_000), ("NHWC", None)])
def test_a_network_has_its_images_in_the_convolutions_own_layout(layout: str, whole: float | None) -> None:
    layers = [
        measured(_layer("torch:library", "conv1", layout=layout), 1e-3),
        measured(
            _layer("torch:library", "conv2", layout=""), 3e-3
        ),  # as a fully connected layer has no layouts
    ]
    (total,) = _totals([*layers, _whole("torch:library", 12e-3)])
    assert (total["layout"], total["missing"]) == (layout, 0)
    assert total["whole_us"] == (whole if whole is None else pytest.approx(whole))


def test_layers_of_several_batches_have_no_whole() -> None:
    layers = [
        measured(_layer("torch:library", "conv1", n=1), 1e-3),
        measured(_layer("torch:library", "conv2", n=8), 1e-3),
    ]
    (total,) = _totals([*layers, _whole("torch:library", 3e-3)])
    assert total["whole_us"] is None
