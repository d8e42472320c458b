from __future__ import annotations

import pytest
from runs import failed, measured, record, run_of, steady

from dlbench.analysis.speedup import ITSELF, speedups
from dlbench.results.measurement import CaseRecord, Measurement
from dlbench.statistics import Interval

NAIVE, LIBRARY = record("numba:naive"), record("torch:library")


def _speedup(case: CaseRecord, *measurements: Measurement) -> Interval | None:
    return speedups(run_of(measurements)).get(case.key)


def test_the_baseline_is_once_itself_with_an_interval_of_no_width() -> None:
    assert _speedup(NAIVE, measured(NAIVE, 1e-3), measured(LIBRARY, 1e-4)) == ITSELF == (1.0, 1.0, 1.0)


def test_a_speedup_is_the_baselines_time_over_this_time() -> None:
    found = _speedup(LIBRARY, measured(NAIVE, 1e-3), measured(LIBRARY, 1e-4))
    assert found is not None
    assert found.value == pytest.approx(10.0)
    assert found.low < found.value < found.high


def test_only_rounds_that_sampled_both_count() -> None:
    naive = Measurement(NAIVE, (steady(1e-3, 1), steady(4e-3, 2), steady(1e-3, 4)))
    library = Measurement(LIBRARY, (steady(2e-3, 2), steady(9e-9, 3), steady(5e-4, 4)))
    found = _speedup(LIBRARY, naive, library)
    assert found is not None
    assert found.value == pytest.approx(2.0)


def test_without_a_round_in_common_there_is_no_speedup() -> None:
    naive = Measurement(NAIVE, (steady(1e-3, 1),))
    library = Measurement(LIBRARY, (steady(1e-3, 2),))
    assert _speedup(LIBRARY, naive, library) is None


def test_without_a_baseline_there_is_no_speedup() -> None:
    assert speedups(run_of([measured(LIBRARY, 1e-4)])) == {}
    assert speedups(run_of([measured(record("torch:library", baseline=""), 1e-4)])) == {}


def test_over_a_baseline_that_failed_there_is_no_speedup() -> None:
    assert speedups(run_of([failed(NAIVE), measured(LIBRARY, 1e-4)])) == {}


def test_a_case_that_failed_has_no_speedup() -> None:
    assert _speedup(LIBRARY, measured(NAIVE, 1e-3), failed(LIBRARY)) is None


def test_another_problems_baseline_does_not_count() -> None:
    other = record("numba:naive", params='{"c": 16}')
    assert _speedup(LIBRARY, measured(other, 1e-3), measured(LIBRARY, 1e-4)) is None


def test_the_baseline_on_the_same_device_comes_first() -> None:
    gpu_naive, gpu = record("numba:naive", device="cuda:0"), record("torch:library", device="cuda:0")
    found = _speedup(gpu, measured(NAIVE, 8e-3), measured(gpu_naive, 2e-3), measured(gpu, 1e-3))
    assert found is not None
    assert found.value == pytest.approx(2.0)


def test_else_the_only_device_that_has_the_baseline_gives_it() -> None:
    gpu = record("torch:library", device="cuda:0")
    found = _speedup(gpu, measured(NAIVE, 8e-3), measured(gpu, 1e-3))
    assert found is not None
    assert found.value == pytest.approx(8.0)


def test_between_baselines_on_two_other_devices_none_is_chosen() -> None:
    gpu = record("torch:library", device="cuda:0")
    elsewhere = measured(record("numba:naive", device="cuda:1"), 1e-3)
    assert _speedup(gpu, measured(NAIVE, 8e-3), elsewhere, measured(gpu, 1e-3)) is None


def test_other_ways_of_calling_the_baseline_are_held_against_its_ordinary_one() -> None:
    plain = record("torch:library", baseline="torch:library")
    graph = record("torch:library", baseline="torch:library", flags="graph", key="graph")
    last = record("torch:library", baseline="torch:library", layout="NHWC", key="nhwc")
    found = speedups(run_of([measured(graph, 5e-4), measured(plain, 1e-3), measured(last, 2e-3)]))
    assert found[plain.key] == ITSELF
    assert found["graph"].value == pytest.approx(2.0)
    assert found["nhwc"].value == pytest.approx(0.5)
