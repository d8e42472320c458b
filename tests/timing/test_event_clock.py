"""The event clock on a simulated accelerator: every rule of timing a device, and what goes wrong without it.

A rule is a check of a clock. Each holds for the event clock, and fails for one that lacks the rule.
"""

from __future__ import annotations

import gc
import itertools
import statistics
import weakref
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from simulated import DeadlockError, DeviceLostError, SimulatedDevice, SimulatedQueue, Slowdown

from dlbench.errors import UnsupportedError
from dlbench.timing import event_clock
from dlbench.timing.clock import Call, Clock
from dlbench.timing.event_clock import (
    GAVE_UP,
    HOLD_LIMIT,
    MOST_CAPTURED,
    SIDE_STREAM,
    SYNCHRONISES,
    EventClock,
)

US = 1e-6
Check = Callable[[type[EventClock]], None]


def exactly(seconds: float) -> Any:
    """Equal up to the rounding of floats, far below a nanosecond."""
    return pytest.approx(seconds, rel=1e-9, abs=1e-12)


def on(device: SimulatedDevice, kind: type[EventClock] = EventClock) -> EventClock:
    """Return a clock on a queue of its own."""
    return kind(device.queue())


def in_turn(*calls: Callable[[], Any]) -> Call:
    """Return a call that makes the calls one after the other."""

    def call() -> None:
        for one in calls:
            one()

    return call


# --- the rules ------------------------------------------------------------------------------------------------------


def works_in_its_own_queue(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock, queues = on(device, kind), len(device.queues)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    used: list[SimulatedQueue] = []

    def spied() -> None:
        used.append(device.current)
        call()

    clock.rehearse(spied)
    clock.time(spied, 2)
    clock.time_cold(spied)
    assert used == [device.queues[queues - 1]] * 7
    clock.captured([spied], 1)
    assert used == [device.queues[queues - 1]] * 8


def times_the_device_and_not_the_launches(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    clock.rehearse(call)
    assert clock.time(call, 100) == exactly(
        5 * US + 100 * 50 * US
    )  # the first launch is waited for, the rest hides


def starts_on_an_idle_device(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    earlier = device.kernel("earlier", cold=10e-3, hot=10e-3, side_queue=True)
    clock.rehearse(call)
    assert clock.floor == 0.0
    earlier()
    assert clock.time(call, 2) == exactly(5 * US + 100 * US)
    assert "side_stream" not in clock.observations()
    assert device.log.count("k") == 4 + 2  # no batch was taken again in doubt


def empties_the_cache_before_a_cold_sample(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    assert [clock.time_cold(call) for _ in range(3)] == [exactly(80 * US)] * 3


def empties_no_cache_between_hot_calls(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    clock.rehearse(call)
    clock.time(call, 10)
    assert "flush" not in device.log


def ends_the_flush_before_the_sample_starts(kind: type[EventClock]) -> None:
    device = SimulatedDevice(flush=1e-3)
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US, side_queue=True)
    clock.rehearse(call)
    assert clock.time_cold(call) < 0.2e-3  # the host's time, which the flush would be part of


def hides_the_launch_of_a_small_kernel(kind: type[EventClock]) -> None:
    device = SimulatedDevice(launch=20 * US)
    clock = on(device, kind)
    call = device.kernel("k", cold=4 * US, hot=2 * US)
    assert clock.time_cold(call) == exactly(4 * US)


def hides_the_launches_of_a_call_with_several_kernels(kind: type[EventClock]) -> None:
    device = SimulatedDevice(launch=20 * US)
    clock = on(device, kind)
    call = device.kernel("k", cold=40 * US, hot=20 * US, launches=4)
    seconds = clock.time_cold(call)
    assert seconds == exactly(
        10 * US + 3 * 5 * US
    )  # the first launch finds a cold cache, the rest what it has read


def tries_the_hold_out_on_an_empty_pair(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    clock.time_cold(device.kernel("k", cold=80 * US, hot=50 * US))
    first = device.log.index("hold")
    assert "k" not in device.log[first : device.log.index("release")]


def holds_for_a_limited_time(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    late = device.kernel("late", cold=80 * US, hot=50 * US)
    once = itertools.count()

    def call() -> None:
        if next(once) >= 4:  # loaded when nobody rehearses: an algorithm chosen anew
            late()

    clock.rehearse(call)
    try:
        clock.time_cold(call)
    except DeadlockError as error:
        raise AssertionError("the host waits for ever") from error


def puts_at_most_32_launches_behind_a_hold(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US, launches=3)
    clock.rehearse(call)
    clock.time(call, 200)
    clock.time_cold(call)
    assert 0 < device.most_behind_hold <= 32


def warms_up_with_three_calls_each_waited_for(kind: type[EventClock]) -> None:
    device = SimulatedDevice(launch=1 * US)
    clock = on(device, kind)
    lengths: list[int] = []
    kernel = device.kernel("k", cold=80 * US, hot=50 * US)

    def call() -> None:
        lengths.append(sum(len(queue.items) for queue in device.queues) + (device.busy_until > device.moment))
        kernel()

    clock.rehearse(call)
    assert lengths == [0, 0, 0, 0]  # and one more, to see whether it synchronises
    assert device.busy_until <= device.moment


def warms_up_without_a_hold(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    clock.rehearse(call)
    assert device.deadlocks == 0
    assert "hold" not in device.log


def rehearses_what_was_never_rehearsed_before_it_holds(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    assert clock.time_cold(call) == exactly(80 * US)
    assert device.deadlocks == 0
    assert device.moment * 1e-9 < HOLD_LIMIT


def rehearses_a_call_only_once(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    clock.rehearse(call)
    clock.time_cold(call)
    clock.time_cold(call)
    assert device.log.count("k") == 4 + 2


def does_not_hold_a_call_that_synchronises(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US, synchronises=True)
    assert clock.time_cold(call) == exactly(
        5 * US + 80 * US + 1 * US
    )  # launch, kernel, and the mark that comes after it
    assert device.moment * 1e-9 < HOLD_LIMIT


def says_that_a_call_synchronises(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    clock.time_cold(device.kernel("k", cold=80 * US, hot=50 * US, synchronises=True))
    assert clock.observations()["unheld"] == SYNCHRONISES


def discards_a_sample_whose_hold_gave_up(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    queue = Changed(device.queue(), synchronises=lambda call: False)
    clock = kind(queue)
    kernel = device.kernel("k", cold=80 * US, hot=50 * US)
    calls = itertools.count()

    def call() -> None:
        kernel()
        if next(calls) == 3:
            device.pass_time(2 * HOLD_LIMIT)  # its host code hangs, once

    clock.rehearse(call)
    assert clock.time_cold(call) == exactly(5 * US + 80 * US)
    assert clock.observations()["unheld"] == GAVE_UP


def holds_a_call_no_more_that_could_not_be_held(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    queue = Changed(device.queue(), synchronises=lambda call: False)
    clock = kind(queue)
    call = device.kernel("k", cold=80 * US, hot=50 * US, synchronises=True)
    clock.rehearse(call)
    seconds = [clock.time_cold(call) for _ in range(4)]
    assert seconds == [exactly(5 * US + 80 * US + 1 * US)] * 4
    assert HOLD_LIMIT < device.moment * 1e-9 < 2 * HOLD_LIMIT  # the hold gave up once


def releases_what_it_holds_when_the_call_fails(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    kernel = device.kernel("k", cold=80 * US, hot=50 * US)
    calls = itertools.count()

    def call() -> None:
        kernel()
        if next(calls) >= 4:
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        clock.time_cold(call)
    assert device.log.count("hold") == device.log.count("release")


def times_without_a_hold_where_there_is_none(kind: type[EventClock]) -> None:
    device = SimulatedDevice(can_hold=False)
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    assert clock.time_cold(call) == exactly(5 * US + 80 * US)
    assert clock.observations()["unheld"] == "this framework has no kernel that waits"


def asks_only_once_for_a_hold_that_is_not_there(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    asked: list[float] = []

    def hold(limit: float) -> None:
        asked.append(limit)
        raise UnsupportedError("none")

    clock = kind(Changed(device.queue(), hold=hold))
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    for _ in range(3):
        clock.time_cold(call)
    assert asked == [HOLD_LIMIT]


def takes_the_hosts_time_for_hot_work_on_another_queue(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US, side_queue=True)
    clock.rehearse(call)
    seconds = clock.time(call, 100)
    assert 100 * 50 * US <= seconds <= 100 * 50 * US + 20 * US
    assert clock.observations()["side_stream"] == SIDE_STREAM


def takes_the_hosts_time_for_cold_work_on_another_queue(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US, side_queue=True)
    clock.rehearse(call)
    assert 80 * US <= clock.time_cold(call) <= 80 * US + 20 * US
    assert clock.observations()["side_stream"] == SIDE_STREAM


def finds_work_on_another_queue_that_ends_before_the_hold(kind: type[EventClock]) -> None:
    device = SimulatedDevice(event=[1.5 * US])
    clock = on(device, kind)
    call = device.kernel("k", cold=3 * US, hot=2 * US, side_queue=True)
    clock.rehearse(call)
    assert clock.time_cold(call) >= 3 * US
    assert clock.observations()["side_stream"] == SIDE_STREAM


def finds_work_on_another_queue_beside_its_own(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    decoy = device.kernel("decoy", cold=10 * US, hot=10 * US)
    hidden = device.kernel("hidden", cold=400 * US, hot=400 * US, side_queue=True)
    call = in_turn(decoy, hidden)
    clock.rehearse(call)
    assert clock.time(call, 10) >= 4000 * US
    assert clock.time_cold(call) >= 400 * US


def a_slow_wait_is_no_work_elsewhere(kind: type[EventClock]) -> None:
    device = SimulatedDevice(sync=80 * US)
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    clock.rehearse(call)
    assert clock.time(call, 2) == exactly(5 * US + 100 * US)
    assert clock.time_cold(call) == exactly(80 * US)
    assert "side_stream" not in clock.observations()


def a_host_that_was_held_up_is_no_work_elsewhere(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    clock.rehearse(call)
    assert clock.floor == 0.0
    device.held_up = itertools.chain([0.0, 5e-3], itertools.repeat(0.0))  # between its two waits, once
    assert clock.time(call, 2) == exactly(5 * US + 100 * US)
    assert "side_stream" not in clock.observations()


def a_call_that_hides_work_is_timed_alike_each_time(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    lengths = itertools.chain([100 * US] * 20, itertools.repeat(12 * US))
    kernels = {
        length: device.kernel("k", cold=length, hot=length, side_queue=True) for length in (100 * US, 12 * US)
    }

    def call() -> None:
        kernels[next(lengths)]()

    clock.rehearse(call)
    clock.time(call, 1)
    first = clock.time(call, 1)
    for _ in range(20):
        last = clock.time(call, 1)
    assert first >= 100 * US
    assert last >= 12 * US  # too short to be found by itself


def measures_the_floor_as_a_median_of_empty_pairs(kind: type[EventClock]) -> None:
    jitter = [1.5 * US, 1.5 * US, 9 * US, 1.5 * US, 1.5 * US, 0.5 * US, 1.5 * US]
    clock = on(SimulatedDevice(event=jitter), kind)
    assert clock.floor == exactly(1.5 * US)


def measures_the_floor_behind_a_hold(kind: type[EventClock]) -> None:
    clock = on(SimulatedDevice(event=[1.5 * US], mark=20 * US), kind)
    assert clock.floor == exactly(1.5 * US)


def tells_the_floor_and_does_not_subtract_it(kind: type[EventClock]) -> None:
    device = SimulatedDevice(event=[1.5 * US])
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    assert clock.time_cold(call) == exactly(80 * US + 1.5 * US)
    assert clock.observations()["event_floor_us"] == 1.5


def tells_the_hosts_time_to_issue_one_call(kind: type[EventClock]) -> None:
    device = SimulatedDevice(launch=7 * US)
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US, launches=2)
    clock.rehearse(call)
    clock.time(call, 10)
    clock.time_cold(call)
    assert clock.observations()["host_us"] == 14.0


def forgets_what_it_has_told(kind: type[EventClock]) -> None:
    device = SimulatedDevice(can_hold=False)
    clock = on(device, kind)
    clock.time_cold(device.kernel("k", cold=80 * US, hot=50 * US))
    assert set(clock.observations()) == {"unheld", "host_us", "event_floor_us"}
    assert clock.observations() == {}


def ticks_like_the_queue(kind: type[EventClock]) -> None:
    assert on(SimulatedDevice(resolution=2e-6), kind).tick == 2e-6


def captures_rounds_over_the_calls_in_order(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    a, b = (device.kernel(name, cold=80 * US, hot=50 * US) for name in "ab")
    order: list[str] = []
    replay = clock.captured([in_turn(lambda: order.append("a"), a), in_turn(lambda: order.append("b"), b)], 3)
    assert order[-6:] == ["a", "b"] * 3
    clock.time(replay, 1)
    assert clock.time(replay, 10) == exactly(5 * US + 10 * 6 * 50 * US)


def a_graph_that_rotates_over_twice_the_cache_is_cold(kind: type[EventClock]) -> None:
    device = SimulatedDevice(cache_bytes=100)
    clock = on(device, kind)
    calls = [device.kernel(f"copy {n}", cold=80 * US, hot=50 * US, nbytes=70) for n in range(3)]
    replay = clock.captured(calls, 2)
    assert clock.time(replay, 10) == exactly(5 * US + 10 * 6 * 80 * US)


def rehearses_before_it_captures(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    clock.captured([device.kernel(name, cold=80 * US, hot=50 * US) for name in "ab"], 1)
    assert device.loaded == {"a", "b"}


def keeps_what_a_graph_works_on(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    alive = weakref.ref(call)
    replay = clock.captured([call], 1)
    del call
    gc.collect()
    assert alive() is not None
    assert replay is not None


def keeps_no_call_alive(kind: type[EventClock]) -> None:
    device = SimulatedDevice()
    clock = on(device, kind)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    clock.time_cold(call)
    clock.time(call, 3)
    alive = weakref.ref(call)
    del call
    gc.collect()
    assert alive() is None
    assert clock._known == {}


# --- clocks that lack a rule ----------------------------------------------------------------------------------------


class Changed:
    """A queue, some of whose doings are replaced."""

    def __init__(self, queue: Any, **instead: Any) -> None:
        self._changed = queue
        self._instead = instead

    def __getattr__(self, name: str) -> Any:
        return self._instead[name] if name in self._instead else getattr(self._changed, name)


def queue_with(name: str, **instead: Callable[[SimulatedQueue], Any]) -> type[EventClock]:
    """Return an event clock that does something else where it asks its queue for this."""

    class Mutant(EventClock):
        def __init__(self, queue: Any) -> None:
            inner = queue
            super().__init__(Changed(queue, **{does: make(inner) for does, make in instead.items()}))

    Mutant.__name__ = name
    return Mutant


def nothing(_queue: SimulatedQueue) -> Callable[..., None]:
    return lambda *_: None


NotInItsQueue = queue_with("NotInItsQueue", active=lambda queue: nullcontext)
NoFlush = queue_with("NoFlush", flush=nothing)
NoHold = queue_with("NoHold", hold=nothing, release=lambda queue: lambda: True)
HoldWithoutLimit = queue_with("HoldWithoutLimit", hold=lambda queue: lambda limit: queue.hold(float("inf")))
NoWaitForTheQueue = queue_with("NoWaitForTheQueue", wait=nothing)
NoWaitForTheDevice = queue_with("NoWaitForTheDevice", wait_device=nothing)
NeverFoundToSynchronise = queue_with(
    "NeverFoundToSynchronise", synchronises=lambda queue: lambda call: call() is None
)
CaptureOnce = queue_with("CaptureOnce", capture=lambda queue: lambda work: queue.capture(lambda: None))


class TimesTheHost(EventClock):
    def time(self, call: Call, calls: int) -> float:
        with self._queue.active():
            before = self.now()
            for _ in range(calls):
                call()
            return self.now() - before


class FlushInsideTheMarks(EventClock):
    def _cold(self, call: Call, known: Any) -> Any:
        return self._take(in_turn(self._queue.flush, call), hold=True)


class FlushBetweenHotCalls(EventClock):
    def time(self, call: Call, calls: int) -> float:
        return super().time(in_turn(self._queue.flush, call), calls)


class HastyQueue(Changed):
    """Skips the wait that follows a flush."""

    hasty = False

    def flush(self) -> None:
        self._changed.flush()
        self.hasty = True

    def wait_device(self) -> None:
        if not self.hasty:
            self._changed.wait_device()
        self.hasty = False


class UnreadyQueue(Changed):
    """Waits for the device only at the end of a sample."""

    ends = False

    def wait(self) -> None:
        self._changed.wait()
        self.ends = True

    def wait_device(self) -> None:
        if self.ends:
            self._changed.wait_device()
        self.ends = False


class NoWaitBeforehand(EventClock):
    def __init__(self, queue: Any) -> None:
        super().__init__(UnreadyQueue(queue))


class NoWaitAfterTheFlush(EventClock):
    def __init__(self, queue: Any) -> None:
        super().__init__(HastyQueue(queue))


class HoldsBatches(EventClock):
    def time(self, call: Call, calls: int) -> float:
        known = self._of(call)
        with self._queue.active():
            work = partial(event_clock._repeat, call, calls)
            return self._seconds(known, lambda: self._take(work, hold=True), calls)


class RehearsesBehindAHold(EventClock):
    def _rehearse(self, call: Call, known: Any) -> None:
        self._queue.hold(HOLD_LIMIT)
        call()
        self._queue.release()
        super()._rehearse(call, known)


class RehearsesOnce(EventClock):
    def _rehearse(self, call: Call, known: Any) -> None:
        call()
        self._queue.wait_device()
        known.rehearsed = True


class RehearsesWithoutWaiting(EventClock):
    def _rehearse(self, call: Call, known: Any) -> None:
        for _ in range(4):
            call()
        known.rehearsed = True


class NeverRehearses(EventClock):
    def _rehearse(self, call: Call, known: Any) -> None:
        known.rehearsed = True


class ForgetsRehearsals(EventClock):
    def _rehearse(self, call: Call, known: Any) -> None:
        super()._rehearse(call, known)
        known.rehearsed = False


class KeepsExpiredSamples(EventClock):
    def _cold(self, call: Call, known: Any) -> Any:
        self._queue.flush()
        return self._take(call, hold=not known.unheld)


class HoldsAgainWhatCouldNotBeHeld(EventClock):
    def _cold(self, call: Call, known: Any) -> Any:
        taken = super()._cold(call, known)
        known.unheld = ""
        return taken


class AsksForAHoldEachTime(EventClock):
    def _hold(self) -> bool:
        self._no_hold = ""
        return super()._hold()


class NeedsAHold(EventClock):
    def _hold(self) -> bool:
        self._queue.hold(HOLD_LIMIT)
        return True

    def time_cold(self, call: Call) -> float:
        try:
            return super().time_cold(call)
        except UnsupportedError as error:
            raise AssertionError("no sample without a hold") from error


class KeepsSilent(EventClock):
    def observations(self) -> dict[str, Any]:
        super().observations()
        return {"unheld": "", "side_stream": "", "host_us": 0.0, "event_floor_us": 0.0}


class Remembers(EventClock):
    def observations(self) -> dict[str, Any]:
        before = dict(self._notes)
        seen = dict(super().observations())
        self._notes.update(before)
        return seen


class LeavesTheHoldWhenTheCallFails(EventClock):
    def _take(self, work: Any, *, hold: bool = False) -> Any:
        failed: list[Exception] = []

        def release() -> bool:
            return True if failed else inner.release()

        def watched() -> None:
            try:
                work()
            except Exception as error:
                failed.append(error)
                raise

        inner = self._queue
        self._queue = Changed(inner, release=release)
        try:
            return super()._take(watched, hold=hold)
        finally:
            self._queue = inner


class TrustsTheMarks(EventClock):
    def _hides(self, taken: Any) -> bool:
        return False


class OverlooksShortWorkElsewhere(EventClock):
    def _hides(self, taken: Any) -> bool:
        slack = max(event_clock.LATE_TICKS * self.tick, event_clock.LATE_SHARE * taken.device)
        return bool(taken.late - self._idle_device().wait > slack)


class TakesAWaitForFree(EventClock):
    def _idle_device(self) -> Any:
        return event_clock._Idle(super()._idle_device().floor, 0.0)


class SureAtOnce(EventClock):
    def _seconds(self, known: Any, take: Any, calls: int) -> float:
        self._idle_device()
        taken = take()
        known.hides = known.hides or self._hides(taken)
        if known.hides:
            self._notes["side_stream"] = SIDE_STREAM
        return float(taken.host if known.hides else taken.device)


class HoldsACallFirst(EventClock):
    def _seconds(self, known: Any, take: Any, calls: int) -> float:
        return float(take().device)


class DoubtsAnewEachTime(EventClock):
    def _seconds(self, known: Any, take: Any, calls: int) -> float:
        known.hides = False
        return super()._seconds(known, take, calls)


class MeanFloor(EventClock):
    def _idle_device(self) -> Any:
        if self._idle is None:
            pairs = [
                self._take(event_clock._nothing, hold=True).device for _ in range(event_clock.EMPTY_PAIRS)
            ]
            self._idle = event_clock._Idle(statistics.mean(pairs), super()._idle_device().wait)
        return self._idle


class OpenFloor(EventClock):
    def _idle_device(self) -> Any:
        return event_clock._Idle(self._take(event_clock._nothing).device, 0.0)


class SubtractsTheFloor(EventClock):
    def time_cold(self, call: Call) -> float:
        return super().time_cold(call) - self.floor


class CountsTheBatchAsOneCall(EventClock):
    def _seconds(self, known: Any, take: Any, calls: int) -> float:
        return super()._seconds(known, take, 1)


class TicksLikeTheHost(EventClock):
    @property
    def tick(self) -> float:
        return 1e-9


class CapturesTheFirst(EventClock):
    def captured(self, calls: Sequence[Call], repeats: int) -> Call:
        return super().captured([calls[0]] * len(calls), repeats)


class CapturesCallByCall(EventClock):
    def captured(self, calls: Sequence[Call], repeats: int) -> Call:
        return super().captured([call for call in calls for _ in range(repeats)], 1)


class CapturesWhatNeverRan(EventClock):
    def captured(self, calls: Sequence[Call], repeats: int) -> Call:
        with self._queue.active():
            return self._queue.capture(partial(event_clock._rounds, calls, repeats))


class KeepsOnlyTheGraph(EventClock):
    def captured(self, calls: Sequence[Call], repeats: int) -> Call:
        replay: Any = super().captured(calls, repeats)
        found: Call = replay.replay
        return found


class KeepsCalls(EventClock):
    def _of(self, call: Call) -> Any:
        self.kept = [*getattr(self, "kept", []), call]
        return super()._of(call)


@dataclass(frozen=True)
class Rule:
    """A check, and clocks that lack what it checks."""

    check: Check
    without: tuple[type[EventClock], ...]


RULES = (
    Rule(works_in_its_own_queue, (NotInItsQueue,)),
    Rule(times_the_device_and_not_the_launches, (TimesTheHost, NoWaitForTheQueue, FlushBetweenHotCalls)),
    Rule(starts_on_an_idle_device, (NoWaitBeforehand,)),
    Rule(empties_the_cache_before_a_cold_sample, (NoFlush, FlushInsideTheMarks)),
    Rule(empties_no_cache_between_hot_calls, (FlushBetweenHotCalls,)),
    Rule(ends_the_flush_before_the_sample_starts, (NoWaitAfterTheFlush,)),
    Rule(hides_the_launch_of_a_small_kernel, (NoHold,)),
    Rule(hides_the_launches_of_a_call_with_several_kernels, (NoHold,)),
    Rule(tries_the_hold_out_on_an_empty_pair, (HoldsACallFirst,)),
    Rule(holds_for_a_limited_time, (HoldWithoutLimit,)),
    Rule(puts_at_most_32_launches_behind_a_hold, (HoldsBatches, NoHold)),
    Rule(warms_up_with_three_calls_each_waited_for, (RehearsesOnce, RehearsesWithoutWaiting, NeverRehearses)),
    Rule(warms_up_without_a_hold, (RehearsesBehindAHold,)),
    Rule(rehearses_what_was_never_rehearsed_before_it_holds, (NeverRehearses, RehearsesBehindAHold)),
    Rule(rehearses_a_call_only_once, (ForgetsRehearsals,)),
    Rule(does_not_hold_a_call_that_synchronises, (NeverFoundToSynchronise,)),
    Rule(says_that_a_call_synchronises, (NeverFoundToSynchronise, KeepsSilent)),
    Rule(discards_a_sample_whose_hold_gave_up, (KeepsExpiredSamples,)),
    Rule(holds_a_call_no_more_that_could_not_be_held, (HoldsAgainWhatCouldNotBeHeld, KeepsExpiredSamples)),
    Rule(releases_what_it_holds_when_the_call_fails, (LeavesTheHoldWhenTheCallFails,)),
    Rule(times_without_a_hold_where_there_is_none, (NeedsAHold, KeepsSilent)),
    Rule(asks_only_once_for_a_hold_that_is_not_there, (AsksForAHoldEachTime,)),
    Rule(
        takes_the_hosts_time_for_hot_work_on_another_queue, (TrustsTheMarks, NoWaitForTheDevice, KeepsSilent)
    ),
    Rule(
        takes_the_hosts_time_for_cold_work_on_another_queue, (TrustsTheMarks, NoWaitForTheDevice, KeepsSilent)
    ),
    Rule(
        finds_work_on_another_queue_that_ends_before_the_hold, (OverlooksShortWorkElsewhere, TrustsTheMarks)
    ),
    Rule(finds_work_on_another_queue_beside_its_own, (TrustsTheMarks, NoWaitForTheDevice)),
    Rule(a_slow_wait_is_no_work_elsewhere, (TakesAWaitForFree,)),
    Rule(a_host_that_was_held_up_is_no_work_elsewhere, (SureAtOnce,)),
    Rule(a_call_that_hides_work_is_timed_alike_each_time, (DoubtsAnewEachTime,)),
    Rule(measures_the_floor_as_a_median_of_empty_pairs, (MeanFloor,)),
    Rule(measures_the_floor_behind_a_hold, (OpenFloor,)),
    Rule(tells_the_floor_and_does_not_subtract_it, (SubtractsTheFloor, KeepsSilent)),
    Rule(tells_the_hosts_time_to_issue_one_call, (CountsTheBatchAsOneCall, KeepsSilent)),
    Rule(forgets_what_it_has_told, (Remembers,)),
    Rule(ticks_like_the_queue, (TicksLikeTheHost,)),
    Rule(captures_rounds_over_the_calls_in_order, (CapturesCallByCall, CaptureOnce)),
    Rule(a_graph_that_rotates_over_twice_the_cache_is_cold, (CapturesTheFirst, CapturesCallByCall)),
    Rule(rehearses_before_it_captures, (CapturesWhatNeverRan,)),
    Rule(keeps_what_a_graph_works_on, (KeepsOnlyTheGraph,)),
    Rule(keeps_no_call_alive, (KeepsCalls,)),
)

LACKING = [
    pytest.param(rule.check, kind, id=f"{kind.__name__}-{rule.check.__name__}")
    for rule in RULES
    for kind in rule.without
]


@pytest.mark.parametrize("check", [rule.check for rule in RULES], ids=lambda check: check.__name__)
def test_the_event_clock_keeps_the_rule(check: Check) -> None:
    check(EventClock)


@pytest.mark.parametrize(("check", "kind"), LACKING)
def test_a_clock_without_the_rule_fails_its_check(check: Check, kind: type[EventClock]) -> None:
    with pytest.raises(AssertionError):
        check(kind)


def test_every_rule_is_checked() -> None:
    checks = {rule.check.__name__ for rule in RULES}
    assert len(checks) == len(RULES)
    assert all(rule.without for rule in RULES)


# --- what is left ---------------------------------------------------------------------------------------------------


def test_an_event_clock_is_a_clock() -> None:
    device = SimulatedDevice()
    clock: Clock = on(device)
    before = clock.now()
    clock.sleep(0.5)
    assert clock.now() - before == exactly(0.5)
    assert clock.quantile == 0.5
    assert on(device).cache_bytes == device.cache_bytes


def test_nothing_is_asked_of_the_device_before_the_first_sample() -> None:
    device = SimulatedDevice()
    clock = on(device)
    assert clock.observations() == {}
    assert (device.log, device.moment) == ([], 0)


def test_the_floor_is_measured_in_the_queue_itself() -> None:
    device = SimulatedDevice()
    queue = device.queue()
    used: list[bool] = []

    def record() -> Any:
        used.append(device.current is queue)
        return queue.record()

    assert EventClock(Changed(queue, record=record)).floor == 0.0
    assert used == [True] * 2 * event_clock.EMPTY_PAIRS


def test_a_call_timed_by_the_host_needs_no_word_about_holds() -> None:
    device = SimulatedDevice(can_hold=False)
    clock = on(device)
    call = device.kernel("k", cold=80 * US, hot=50 * US, side_queue=True)
    assert clock.time_cold(call) > 80 * US
    assert set(clock.observations()) == {"side_stream", "host_us", "event_floor_us"}


def test_a_batch_that_does_next_to_nothing_hides_nothing() -> None:
    device = SimulatedDevice(event=[1.5 * US])
    clock = on(device)
    assert clock.time(lambda: None, 10) == exactly(1.5 * US)
    assert "side_stream" not in clock.observations()


def test_a_clock_that_nobody_asks_keeps_few_of_the_hosts_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_clock, "KEPT", 3)
    device = SimulatedDevice()
    clock = on(device)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    clock.rehearse(call)
    for launch in (900, 800, 700, 5, 6, 7):
        device.launch = launch * US
        clock.time(call, 3)
    assert clock.observations()["host_us"] == 6.0


def test_the_median_of_the_hosts_times_is_told() -> None:
    device = SimulatedDevice()
    clock = on(device)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    clock.rehearse(call)
    for launch in (5, 6, 400):
        device.launch = launch * US
        clock.time(call, 3)
    assert clock.observations()["host_us"] == 6.0


def test_a_call_that_cannot_be_referred_to_weakly_is_timed_too() -> None:
    class Slotted:
        __slots__ = ("kernel",)

        def __init__(self, kernel: Call) -> None:
            self.kernel = kernel

        def __call__(self) -> Any:
            return self.kernel()

    device = SimulatedDevice()
    clock = on(device)
    call = Slotted(device.kernel("k", cold=80 * US, hot=50 * US))
    assert [clock.time_cold(call), clock.time_cold(call)] == [exactly(80 * US)] * 2
    assert clock.time(call, 2) == exactly(5 * US + 100 * US)
    assert clock._known == {}


def test_what_is_known_of_a_call_is_not_taken_for_another() -> None:
    device = SimulatedDevice()
    clock = on(device)
    waits = device.kernel("waits", cold=80 * US, hot=50 * US, synchronises=True)
    quick = device.kernel("quick", cold=30 * US, hot=20 * US)
    clock.time_cold(waits)
    assert clock.observations()["unheld"] == SYNCHRONISES
    assert clock.time_cold(quick) == exactly(30 * US)
    assert "unheld" not in clock.observations()


def test_a_call_that_fills_the_queue_behind_a_hold_is_timed_without() -> None:
    device = SimulatedDevice(depth=100)
    clock = on(device)
    call = device.kernel("many", cold=1000 * US, hot=1000 * US, launches=200)
    assert clock.time_cold(call) == exactly(5 * US + 1000 * US)
    assert clock.observations()["unheld"] == GAVE_UP


def test_a_graph_of_a_call_that_synchronises_is_refused_before_anything_is_recorded() -> None:
    device = SimulatedDevice()
    clock = on(device)
    call = device.kernel("k", cold=80 * US, hot=50 * US, synchronises=True)
    with pytest.raises(UnsupportedError, match="makes the host wait"):
        clock.captured([call], 1)
    assert clock.time(call, 1) > 0


def test_what_the_queue_cannot_capture_is_said() -> None:
    device = SimulatedDevice()
    clock = on(device)
    call = device.kernel("k", cold=80 * US, hot=50 * US, side_queue=True)
    with pytest.raises(UnsupportedError, match="work on another queue during a capture"):
        clock.captured([call], 1)


@pytest.mark.parametrize(("calls", "repeats"), [(1, MOST_CAPTURED + 1), (2, MOST_CAPTURED), (1, 0), (0, 1)])
def test_a_graph_of_too_many_or_no_calls_is_refused(calls: int, repeats: int) -> None:
    device = SimulatedDevice()
    clock = on(device)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    with pytest.raises(UnsupportedError, match=f"a graph of {calls * repeats} calls: it takes 1 to 10000"):
        clock.captured([call] * calls, repeats)
    assert device.log == []


def test_a_graph_of_the_most_calls_is_taken() -> None:
    device = SimulatedDevice()
    clock = on(device)
    call = device.kernel("k", cold=1 * US, hot=1 * US)
    replay = clock.captured([call], MOST_CAPTURED)
    assert clock.time(replay, 1) == exactly(5 * US + MOST_CAPTURED * US)


def test_a_lost_device_is_not_hidden() -> None:
    device = SimulatedDevice()
    clock = on(device)
    kernel = device.kernel("k", cold=80 * US, hot=50 * US)
    calls = itertools.count()

    def call() -> None:
        kernel()
        device.lost = next(calls) >= 4

    with pytest.raises(DeviceLostError):
        clock.time_cold(call)
    with pytest.raises(DeviceLostError):
        clock.time(call, 1)


def test_a_slowed_down_board_shows_in_the_times() -> None:
    device = SimulatedDevice(slowdowns=(Slowdown(1.0, 2.0, 0.5),))
    clock = on(device)
    call = device.kernel("k", cold=80 * US, hot=50 * US)
    fast = clock.time_cold(call)
    clock.sleep(1.0)
    assert (fast, clock.time_cold(call)) == (exactly(80 * US), exactly(160 * US))


@given(
    cold=st.integers(1, 3_000_000),
    launch=st.integers(100, 60_000),
    mark=st.integers(0, 20_000),
    sync=st.integers(0, 60_000),
    resolution=st.integers(1, 2000),
    launches=st.integers(1, 8),
)
def test_a_cold_time_is_the_devices_whatever_the_host_is_like(
    cold: int, launch: int, mark: int, sync: int, resolution: int, launches: int
) -> None:
    assume(cold >= 3 * resolution)  # what cannot be told from an empty pair is timed by the host
    device = SimulatedDevice(
        resolution=resolution * 1e-9, launch=launch * 1e-9, mark=mark * 1e-9, sync=sync * 1e-9
    )
    clock = on(device)
    call = device.kernel("k", cold=cold * launches * 1e-9, hot=cold * launches * 1e-9, launches=launches)
    clock.rehearse(call)
    for _ in range(3):
        assert abs(clock.time_cold(call) - cold * launches * 1e-9) < resolution * 1e-9 * (1 + 1e-9)
    assert set(clock.observations()) == {"host_us", "event_floor_us"}


@given(
    hot=st.integers(1, 300_000),
    launch=st.integers(100, 60_000),
    mark=st.integers(0, 20_000),
    resolution=st.integers(1, 2000),
    calls=st.integers(1, 60),
)
def test_a_hot_time_is_the_devices_or_that_of_the_launches(
    hot: int, launch: int, mark: int, resolution: int, calls: int
) -> None:
    device = SimulatedDevice(resolution=resolution * 1e-9, launch=launch * 1e-9, mark=mark * 1e-9)
    clock = on(device)
    call = device.kernel("k", cold=2 * hot * 1e-9, hot=hot * 1e-9)
    clock.rehearse(call)
    bound = max(launch + (calls - 1) * max(hot, launch) + hot, calls * launch + mark)
    assert abs(clock.time(call, calls) - bound * 1e-9) < resolution * 1e-9 * (1 + 1e-9)
    assert "side_stream" not in clock.observations()
