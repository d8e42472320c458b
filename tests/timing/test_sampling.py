"""Warm-up, batches and samples under virtual time."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st

from dlbench.timing import sampling
from dlbench.timing.sampling import MOST_CALLS, Batch, calibrate, cold_samples, hot_samples, warm_up


def nothing() -> None:
    """A call whose cost the clock decides."""


def test_warm_up_ends_when_two_windows_agree() -> None:
    costs: Iterator[float] = iter(
        [4e-3, 2e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3, 1e-3]
    )
    clock = FakeClock(cost=lambda: next(costs))
    warm_up(clock, nothing, limit=1e-2)
    assert clock.moment == pytest.approx(8e-3)  # windows of 4, 2, 1 and 1 ms: the third and the fourth agree


def test_warm_up_never_outlasts_its_limit_by_more_than_a_call() -> None:
    grow = iter(range(1, 1000))
    clock = FakeClock(cost=lambda: next(grow) * 1e-3)
    warm_up(clock, nothing, limit=0.05)
    assert clock.moment < 0.05 + 11e-3


def test_warm_up_without_time_calls_nothing() -> None:
    clock = FakeClock(cost=lambda: 1.0)
    warm_up(clock, nothing, limit=-1.0)
    assert clock.timed == []


@given(st.floats(1e-9, 1.0))
def test_a_batch_lasts_at_least_the_minimum(cost: float) -> None:
    batch = calibrate(FakeClock(cost=lambda: cost), nothing, 1e-3)
    assert batch.calls * cost >= 1e-3 * (1 - 1e-9)
    assert batch.calls == 1 or batch.calls * cost <= 2.2e-3


def test_a_batch_lasts_a_thousand_ticks_of_a_coarse_clock() -> None:
    batch = calibrate(FakeClock(cost=lambda: 1e-4, tick=1e-5), nothing, 1e-3)
    assert batch.calls * 1e-4 >= 1e-2


def test_a_call_that_costs_nothing_ends_in_the_largest_batch() -> None:
    assert calibrate(FakeClock(), nothing, 1e-3).calls == MOST_CALLS


def test_a_slow_call_is_timed_once_to_calibrate() -> None:
    clock = FakeClock(cost=lambda: 0.2)
    assert calibrate(clock, nothing, 1e-3) == Batch(1, 0.2)
    assert clock.timed == [1]


def test_a_batch_too_short_by_stopwatch_overhead_is_grown() -> None:
    class Overhead(FakeClock):
        def time(self, call: object, calls: int) -> float:
            return super().time(nothing, calls) + 1e-6  # the stopwatch itself costs ten calls

    batch = calibrate(Overhead(cost=lambda: 1e-7), nothing, 1e-3)
    assert batch.calls * 1e-7 >= 1e-3 - 1e-6


def test_hot_samples_are_seconds_per_call() -> None:
    samples = hot_samples(FakeClock(cost=lambda: 1e-5), nothing, Batch(100, 1e-3), seconds=0.05)
    assert {round(sample.seconds, 12) for sample in samples} == {1e-5}
    assert len(samples) == 50


def test_a_short_batch_is_run_once_uncounted_to_refill_the_caches() -> None:
    clock = FakeClock(cost=lambda: 1e-5)
    samples = hot_samples(clock, nothing, Batch(100, 1e-3), seconds=0.05)
    assert len(clock.timed) == len(samples) + 1


def test_a_long_batch_is_not_run_uncounted() -> None:
    clock = FakeClock(cost=lambda: 0.2)
    assert len(hot_samples(clock, nothing, Batch(1, 0.2), seconds=0.05)) == 1
    assert clock.timed == [1]


def test_at_least_so_many_samples_are_taken() -> None:
    assert len(hot_samples(FakeClock(cost=lambda: 1.0), nothing, Batch(1, 1.0), seconds=0.1, at_least=3)) == 3


def test_the_cache_is_flushed_before_each_cold_sample_and_not_timed() -> None:
    events: list[str] = []
    clock = FakeClock(cost=lambda: 1e-3)

    def one() -> float:
        events.append("flush")
        clock.sleep(0.5)
        return clock.time(lambda: events.append("call"), 1)

    samples = cold_samples(clock, one, seconds=1.0)
    assert events == ["flush", "call"] * 2
    assert [sample.seconds for sample in samples] == [1e-3, 1e-3]


def test_a_sample_during_which_the_scheduler_interfered_is_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = iter([0, 0, 0, 3, 3, 3])
    monkeypatch.setattr(sampling, "involuntary_switches", lambda: next(counts))
    samples = hot_samples(FakeClock(cost=lambda: 1.0), nothing, Batch(1, 1.0), seconds=2.5)
    assert [sample.switches for sample in samples] == [0, 3, 0]


def test_the_garbage_collector_rests_while_samples_are_taken_and_is_restored() -> None:
    seen: list[bool] = []
    hot_samples(FakeClock(cost=lambda: 1.0), lambda: seen.append(gc.isenabled()), Batch(1, 1.0), seconds=1.0)
    assert seen == [False]
    assert gc.isenabled()
