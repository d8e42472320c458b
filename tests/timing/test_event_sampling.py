"""Warm-up, calibration and samples with the event clock on a simulated accelerator."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import SimulatedDevice

from dlbench.timing.clock import Call
from dlbench.timing.event_clock import MINIMUM_WARM_UP, EventClock
from dlbench.timing.sampling import (
    SETTLED,
    TICKS_PER_SAMPLE,
    Batch,
    calibrate,
    cold_samples,
    hot_samples,
    warm_up,
)

MS = 1e-3
US = 1e-6


class TimesTheHost(EventClock):
    """What a clock of the host tells of work that goes on behind its back."""

    def time(self, call: Call, calls: int) -> float:
        with self._queue.active():
            before = self.now()
            for _ in range(calls):
                call()
            return self.now() - before


def batch_is_driven_by_the_device(kind: type[EventClock]) -> None:
    device = SimulatedDevice(launch=5 * US, depth=100_000)
    clock = kind(device.queue())
    call = device.kernel("k", cold=150 * US, hot=100 * US)
    clock.rehearse(call)
    batch = calibrate(clock, call, MS)
    assert batch.calls == 11
    assert batch.seconds == pytest.approx(11 * 100 * US + 5 * US)


def test_the_batch_is_as_many_calls_as_the_device_takes_a_millisecond_for() -> None:
    batch_is_driven_by_the_device(EventClock)


def test_a_batch_driven_by_the_hosts_time_would_not_be() -> None:
    with pytest.raises(AssertionError):
        batch_is_driven_by_the_device(TimesTheHost)


@given(
    hot=st.integers(4_000, 5_000_000),
    launch=st.integers(500, 30_000),
    resolution=st.sampled_from([500, 1000, 2000]),
)
def test_a_hot_sample_lasts_a_millisecond_and_a_thousand_ticks(
    hot: int, launch: int, resolution: int
) -> None:
    device = SimulatedDevice(launch=launch * 1e-9, resolution=resolution * 1e-9)
    clock = EventClock(device.queue())
    call = device.kernel("k", cold=2 * hot * 1e-9, hot=hot * 1e-9)
    clock.rehearse(call)
    batch = calibrate(clock, call, MS)
    shortest = max(MS, TICKS_PER_SAMPLE * resolution * 1e-9)
    assert batch.seconds >= shortest
    assert clock.time(call, batch.calls) >= shortest - resolution * 1e-9
    longest = max(2.3 * shortest, 1.1 * (hot + launch) * 1e-9)
    assert batch.seconds <= longest


def test_hot_samples_are_the_devices_seconds_per_call_with_a_warm_cache() -> None:
    device = SimulatedDevice()
    clock = EventClock(device.queue())
    call = device.kernel("k", cold=150 * US, hot=100 * US)
    clock.rehearse(call)
    samples = hot_samples(clock, call, calibrate(clock, call, MS), seconds=50 * MS)
    assert {round(sample.seconds * 1e6, 3) for sample in samples} == {round((11 * 100 + 5) / 11, 3)}
    assert len(samples) >= 40


def test_a_kernel_shorter_than_its_launch_is_bound_by_the_launches_when_hot_but_not_when_cold() -> None:
    device = SimulatedDevice(launch=5 * US)
    clock = EventClock(device.queue())
    call = device.kernel("k", cold=4 * US, hot=2 * US)
    clock.rehearse(call)
    batch = calibrate(clock, call, MS)
    hot = hot_samples(clock, call, batch, seconds=5 * MS)
    cold = cold_samples(clock, lambda: clock.time_cold(call), seconds=5 * MS)
    assert {round(sample.seconds * 1e6, 1) for sample in hot} == {5.0}
    assert {round(sample.seconds * 1e6, 1) for sample in cold} == {4.0}


def test_a_graph_takes_the_launches_out_of_hot_samples() -> None:
    device = SimulatedDevice(launch=5 * US)
    clock = EventClock(device.queue())
    call = device.kernel("k", cold=4 * US, hot=2 * US)
    clock.rehearse(call)
    repeats = 50
    replay = clock.captured([call], repeats)
    samples = hot_samples(clock, replay, Batch(10, clock.time(replay, 10)), seconds=20 * MS)
    assert {round(sample.seconds / repeats * 1e6, 1) for sample in samples} == {2.0}


def test_cold_samples_are_taken_for_so_many_seconds_and_at_least_so_many() -> None:
    device = SimulatedDevice()
    clock = EventClock(device.queue())
    call = device.kernel("k", cold=400 * US, hot=100 * US)
    clock.rehearse(call)
    assert len(cold_samples(clock, lambda: clock.time_cold(call), seconds=0.0, at_least=30)) == 30
    samples = cold_samples(clock, lambda: clock.time_cold(call), seconds=50 * MS)
    assert len(samples) > 30
    assert {round(sample.seconds * 1e6, 3) for sample in samples} == {400.0}


def test_warm_up_goes_on_until_the_devices_time_is_steady() -> None:
    device = SimulatedDevice()
    clock = EventClock(device.queue())
    lengths = itertools.chain((1000 - n for n in range(400)), itertools.repeat(600))
    taken: list[int] = []

    def call() -> None:
        length = next(lengths) * US
        taken.append(1)
        device.kernel("k", cold=length, hot=length)()

    clock.rehearse(call)
    before = clock.now()
    warm_up(clock, call, 10 * MINIMUM_WARM_UP)
    assert len(taken) > 400
    assert clock.now() - before < 10 * MINIMUM_WARM_UP
    assert clock.time(call, 100) == pytest.approx(100 * 600 * US, rel=SETTLED)


def test_warm_up_of_a_short_kernel_lasts_the_devices_time_and_ends() -> None:
    device = SimulatedDevice()
    clock = EventClock(device.queue())
    call = device.kernel("k", cold=4 * US, hot=2 * US)
    clock.rehearse(call)
    before, launched = clock.now(), device.log.count("k")
    warm_up(clock, call, MINIMUM_WARM_UP)
    assert clock.now() > before
    assert device.log.count("k") > launched
    assert MINIMUM_WARM_UP == 0.25
