"""When a board's clock spoils samples, on scripted readings and on the simulated device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from fakes import FakeClock
from hypothesis import given
from hypothesis import strategies as st
from simulated import SimulatedDevice, SimulatedGauge, SimulatedReading, Slowdown

from dlbench.timing import throttle
from dlbench.timing.event_clock import EventClock
from dlbench.timing.sampling import Sample, cold_samples
from dlbench.timing.throttle import Gauge, Reading, Steady, steady

FINE = SimulatedReading()
SLOW = replace(FINE, sm_clock_hz=600e6)
IDLE = replace(FINE, sm_clock_hz=210e6, reasons=("GPU idle",))
HOT = replace(FINE, sm_clock_hz=600e6, temperature_c=88.0, reasons=("HW thermal slowdown",))
Check = Callable[[], None]


@dataclass
class Scripted:
    """A gauge that shows one reading after the other, the last one for ever."""

    readings: Iterable[SimulatedReading | None]
    reads: int = 0
    _left: Iterator[SimulatedReading | None] = field(init=False)
    _last: SimulatedReading | None = None

    def __post_init__(self) -> None:
        self._left = iter(self.readings)

    def read(self) -> SimulatedReading | None:
        self.reads += 1
        self._last = next(self._left, self._last)
        return self._last


class Sleepless(FakeClock):
    """A clock that remembers how long it was asked to sleep."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        super().sleep(seconds)


def watched(
    *readings: SimulatedReading | None, limit: float = 5.0, lasts: float = 0.0
) -> tuple[Steady, list[float]]:
    """Take batches of two samples, numbered from 1, before and after the readings; return what came of it and the waits."""
    clock = Sleepless()
    batches = iter(range(1, 10_000))

    def take() -> list[Sample]:
        clock.moment += lasts
        return [Sample(float(next(batches)))] * 2

    return steady(take, Scripted(readings), clock, limit), clock.slept


def a_steady_board_needs_no_second_batch() -> None:
    found, slept = watched(FINE, FINE)
    assert found == Steady([Sample(1.0)] * 2, "", (FINE,), 0)
    assert slept == []


def samples_at_a_low_clock_are_discarded() -> None:
    found, slept = watched(FINE, SLOW, FINE, SLOW, FINE, FINE)
    assert found == Steady([Sample(3.0)] * 2, "", (FINE,), 4)
    assert slept == [0.05, 0.1]


def three_quarters_of_the_default_clock_are_enough() -> None:
    found, _ = watched(FINE, replace(FINE, sm_clock_hz=0.75 * 1410e6))
    assert (found.discarded, found.throttled) == (0, "")
    found, _ = watched(FINE, replace(FINE, sm_clock_hz=0.7499 * 1410e6), FINE)
    assert (found.discarded, found.throttled) == (2, "")


def a_clock_above_the_default_is_fine() -> None:
    assert watched(FINE, replace(FINE, sm_clock_hz=1980e6))[0].discarded == 0


def the_hardwares_reason_discards_at_a_full_clock() -> None:
    for reason in ("HW slowdown", "HW thermal slowdown", "HW power brake slowdown"):
        found, _ = watched(FINE, replace(FINE, reasons=("SW power cap", reason)), FINE)
        assert (found.discarded, found.throttled) == (2, "")


def the_softwares_reasons_are_how_a_board_works() -> None:
    for reason in (
        "SW power cap",
        "SW thermal slowdown",
        "GPU idle",
        "applications clocks setting",
        "sync boost",
    ):
        assert watched(FINE, replace(FINE, reasons=(reason,)))[0].discarded == 0


def an_idle_board_before_the_samples_is_no_fault() -> None:
    found, _ = watched(IDLE, FINE)
    assert (found.discarded, found.throttled) == (0, "")
    found, _ = watched(
        replace(IDLE, reasons=("HW slowdown",)), FINE
    )  # which also shows while the clock changes
    assert (found.discarded, found.throttled) == (0, "")


def a_hot_board_before_the_samples_is() -> None:
    for reason in ("HW thermal slowdown", "HW power brake slowdown"):
        found, _ = watched(replace(IDLE, reasons=(reason,)), FINE, FINE)
        assert (found.discarded, found.throttled) == (2, "")


def the_wait_grows_from_50_to_500_ms() -> None:
    _, slept = watched(SLOW, limit=5.0)
    assert slept[:5] == [0.05, 0.1, 0.2, 0.4, 0.5]
    assert set(slept[5:-1]) == {0.5}


def the_wait_is_bounded_and_used_up() -> None:
    found, slept = watched(SLOW, limit=1.0)
    assert sum(slept) == pytest.approx(1.0, abs=1e-12)
    assert slept == [0.05, 0.1, 0.2, 0.4, pytest.approx(0.25)]
    assert found.throttled


def the_limit_counts_the_samples_own_time() -> None:
    found, slept = watched(SLOW, limit=1.0, lasts=0.3)
    assert sum(slept) + 0.3 * (len(slept)) <= 1.0 + 0.3
    assert found.discarded == 2 * len(slept)


def a_first_long_batch_leaves_the_whole_limit() -> None:
    found, slept = watched(FINE, SLOW, FINE, limit=0.2, lasts=10.0)
    assert (found.throttled, slept) == ("", [0.05])


def the_last_samples_are_kept_and_the_reason_said() -> None:
    found, slept = watched(HOT)
    assert found.samples == [Sample(len(slept) + 1.0)] * 2
    assert found.discarded == 2 * len(slept)
    assert found.readings == (HOT,)
    assert found.throttled == (
        "SM clock 600 of 1410 MHz, HW thermal slowdown at 88 °C, for 5 s; let the card cool or raise its fan"
    )


def without_time_one_batch_is_taken() -> None:
    found, slept = watched(SLOW, limit=0.0)
    assert (found.samples, slept) == ([Sample(1.0)] * 2, [])
    assert found.throttled.startswith("SM clock 600 of 1410 MHz at 60 °C; ")


def a_gauge_that_vanishes_does_not_fail_the_run() -> None:
    assert watched(None)[0] == Steady([Sample(1.0)] * 2, "", (), 0)
    assert watched(FINE, None)[0] == Steady([Sample(1.0)] * 2, "", (), 0)
    assert watched(FINE, SLOW, None)[0] == Steady([Sample(2.0)] * 2, "", (), 2)
    assert (
        watched(HOT, None, None)[0].discarded == 2
    )  # it was hot before, and vanished while the samples were taken


def what_the_board_does_not_tell_is_no_fault() -> None:
    for unknown in (
        replace(SLOW, sm_clock_hz=None),
        replace(SLOW, default_sm_clock_hz=None),
        SimulatedReading(None, None, None, None),
    ):
        assert watched(FINE, unknown)[0] == Steady([Sample(1.0)] * 2, "", (unknown,), 0)


def the_board_is_read_before_and_after_each_batch() -> None:
    gauge = Scripted([FINE, SLOW, FINE, SLOW, FINE, FINE])
    order: list[int] = []

    def take() -> list[Sample]:
        order.append(gauge.reads)
        return [Sample(1.0)]

    steady(take, gauge, FakeClock(), 5.0)
    assert order == [1, 3, 5]
    assert gauge.reads == 6


@dataclass(frozen=True)
class Rule:
    """A check, and what makes it fail: a name of the module and what stands there instead."""

    check: Check
    without: tuple[tuple[str, Any], ...]


NEVER: Callable[..., bool] = lambda reading: False  # noqa: E731
RULES = (
    Rule(a_steady_board_needs_no_second_batch, (("_is_slow", lambda reading: True),)),
    Rule(samples_at_a_low_clock_are_discarded, (("_is_slow", NEVER), ("LOWEST_SHARE", 0.0))),
    Rule(three_quarters_of_the_default_clock_are_enough, (("LOWEST_SHARE", 0.8), ("LOWEST_SHARE", 0.7))),
    Rule(a_clock_above_the_default_is_fine, (("LOWEST_SHARE", 1.5),)),
    Rule(
        the_hardwares_reason_discards_at_a_full_clock,
        (("HARDWARE", ("nothing",)), ("_hardware", lambda one: [])),
    ),
    Rule(
        the_softwares_reasons_are_how_a_board_works, (("_hardware", lambda reading: list(reading.reasons)),)
    ),
    Rule(
        an_idle_board_before_the_samples_is_no_fault,
        (("_was_slow", throttle._is_slow), ("LASTING", ("",))),
    ),
    Rule(
        a_hot_board_before_the_samples_is,
        (("_was_slow", NEVER), ("LASTING", ("thermal",)), ("LASTING", ("brake",))),
    ),
    Rule(
        the_wait_grows_from_50_to_500_ms, (("FIRST_WAIT", 0.5), ("LONGEST_WAIT", 0.05), ("LONGEST_WAIT", 5.0))
    ),
    Rule(the_wait_is_bounded_and_used_up, (("_is_slow", NEVER), ("FIRST_WAIT", 0.06))),
    Rule(
        the_last_samples_are_kept_and_the_reason_said,
        (("reason", lambda reading, seconds: "slow"), ("_ADVICE", ())),
    ),
    Rule(without_time_one_batch_is_taken, (("_is_slow", NEVER),)),
    Rule(
        a_gauge_that_vanishes_does_not_fail_the_run,
        (("_is_slow", lambda reading: reading is None), ("_was_slow", NEVER)),
    ),
    Rule(what_the_board_does_not_tell_is_no_fault, (("_clocks", lambda reading: (0.0, 1.0)),)),
    Rule(the_limit_counts_the_samples_own_time, ()),
    Rule(a_first_long_batch_leaves_the_whole_limit, (("LOWEST_SHARE", 2.0),)),
    Rule(the_board_is_read_before_and_after_each_batch, (("_is_slow", NEVER),)),
)


@pytest.mark.parametrize("check", [rule.check for rule in RULES], ids=lambda check: check.__name__)
def test_the_rule_is_kept(check: Check) -> None:
    check()


@pytest.mark.parametrize(
    ("check", "name", "instead"),
    [
        pytest.param(rule.check, name, instead, id=f"{rule.check.__name__}-{name}")
        for rule in RULES
        for name, instead in rule.without
    ],
)
def test_without_the_rule_its_check_fails(
    check: Check, name: str, instead: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, name, instead)
    with pytest.raises(AssertionError):
        check()


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        (HOT, "SM clock 600 of 1410 MHz, HW thermal slowdown at 88 °C; let the card cool or raise its fan"),
        (
            replace(SLOW, reasons=("HW slowdown", "HW power brake slowdown")),
            (
                "SM clock 600 of 1410 MHz, HW slowdown, HW power brake slowdown at 60 °C; "
                "look at the power supply, which has asked the card to draw less"
            ),
        ),
        (
            replace(SLOW, reasons=("HW slowdown",), temperature_c=None),
            "SM clock 600 of 1410 MHz, HW slowdown; look at the card's cooling and power supply",
        ),
        (
            replace(SLOW, reasons=("GPU idle", "SW power cap")),
            (
                "SM clock 600 of 1410 MHz, SW power cap at 60 °C; "
                "the card's power limit holds the clock down: `nvidia-smi -q -d POWER` shows it"
            ),
        ),
        (
            replace(SLOW, reasons=("applications clocks setting",)),
            (
                "SM clock 600 of 1410 MHz, applications clocks setting at 60 °C; "
                "the card's clocks are set low: `nvidia-smi -q -d CLOCK` shows them"
            ),
        ),
        (
            replace(SLOW, temperature_c=None),
            "SM clock 600 of 1410 MHz; `nvidia-smi -q -d PERFORMANCE,CLOCK` shows what holds the clock down",
        ),
        (
            SimulatedReading(None, None, 91.0, None, ("HW thermal slowdown",)),
            "HW thermal slowdown at 91 °C; let the card cool or raise its fan",
        ),
    ],
)
def test_the_reason_says_what_a_person_can_do(reading: Reading, said: str) -> None:
    assert throttle.reason(reading, 0.0) == said


@pytest.mark.parametrize(
    ("seconds", "said"), [(5.04, "for 5 s"), (0.4, "for 0.4 s"), (125.26, "for 125.3 s")]
)
def test_the_reason_says_for_how_long(seconds: float, said: str) -> None:
    assert f", {said}; " in throttle.reason(HOT, seconds)


@given(
    st.lists(st.sampled_from([FINE, SLOW, IDLE, HOT, None]), min_size=1, max_size=40),
    st.floats(0.0, 20.0),
    st.floats(0.0, 3.0),
)
def test_a_run_always_ends_with_samples(
    readings: list[SimulatedReading | None], limit: float, lasts: float
) -> None:
    found, slept = watched(*readings, limit=limit, lasts=lasts)
    assert len(found.samples) == 2
    assert sum(slept) <= limit * (1 + 1e-9)
    assert found.discarded == 2 * len(slept)
    assert (found.samples[0].seconds - 1) * 2 == found.discarded


def _on(device: SimulatedDevice, limit: float, gauge: Gauge | None = None) -> Steady:
    """Take cold samples for 25 ms, as one turn does, of a call that takes 1 ms."""
    clock = EventClock(device.queue())
    call = device.kernel("k", cold=1e-3, hot=1e-3)
    clock.rehearse(call)

    def take() -> list[Sample]:
        return cold_samples(clock, lambda: clock.time_cold(call), 25e-3)

    return steady(take, SimulatedGauge(device) if gauge is None else gauge, clock, limit)


def test_a_board_that_cools_down_gives_good_samples() -> None:
    device = SimulatedDevice(slowdowns=(Slowdown(0.0, 1.0, 0.4, ("HW thermal slowdown",), 88.0),))
    found = _on(device, limit=10.0)
    assert {round(sample.seconds, 9) for sample in found.samples} == {1e-3}
    assert found.throttled == ""
    assert found.discarded > 0
    assert [reading.sm_clock_hz for reading in found.readings] == [1410e6]


def test_a_board_that_stays_hot_gives_slow_samples_and_the_reason() -> None:
    device = SimulatedDevice(slowdowns=(Slowdown(0.0, 1e6, 600 / 1410, ("HW thermal slowdown",), 88.0),))
    found = _on(device, limit=5.0)
    assert {round(sample.seconds, 9) for sample in found.samples} == {2.35e-3}
    assert found.throttled.startswith(
        "SM clock 600 of 1410 MHz, HW thermal slowdown at 88 °C, for 5 s; let the card cool"
    )


def test_a_board_that_idled_before_gives_samples_at_once() -> None:
    device = SimulatedDevice()
    device.pass_time(10.0)
    gauge = SimulatedGauge(device)
    shown = gauge.read()
    assert shown is not None
    assert shown.sm_clock_hz == 210e6
    assert _on(device, limit=10.0, gauge=gauge).discarded == 0


def test_a_driver_that_is_gone_after_a_while_costs_nothing() -> None:
    device = SimulatedDevice(slowdowns=(Slowdown(0.0, 1e6, 0.4),))
    found = _on(device, limit=10.0, gauge=SimulatedGauge(device, gone_after=3))
    assert found.throttled == ""
    assert found.readings == ()
    assert found.discarded > 0
