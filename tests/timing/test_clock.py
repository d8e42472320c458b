"""The host's stopwatch, the cache flush and the wait for quiet."""

from __future__ import annotations

import time

import numpy as np
import pytest
from fakes import FakeClock

from dlbench.timing.clock import HostClock
from dlbench.timing.flush import CacheFlush
from dlbench.timing.quiet import LIMIT, STEP, settle
from dlbench.timing.stopping import Precision


def test_the_host_clock_makes_exactly_the_calls_asked_for() -> None:
    seen: list[int] = []
    assert HostClock().time(lambda: seen.append(1), 37) > 0
    assert len(seen) == 37


def test_the_host_clock_times_what_sleeps() -> None:
    assert HostClock().time(lambda: time.sleep(0.002), 5) >= 0.01


def test_the_flush_rewrites_every_byte_of_twice_the_cache() -> None:
    flush = CacheFlush(cache_bytes=80_000, threads=3)
    flush()
    flush()
    assert flush.nbytes == 160_000
    assert np.all(flush._buffer == 2)
    flush.close()


def test_settling_ends_when_the_process_sleeps(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = iter([0.0, STEP, STEP, 2 * STEP, 2 * STEP, 2 * STEP])
    monkeypatch.setattr(time, "process_time", lambda: next(busy))
    clock = FakeClock()
    settle(clock)
    assert clock.moment == pytest.approx(3 * STEP)


def test_settling_gives_up_on_threads_that_never_sleep(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    monkeypatch.setattr(time, "process_time", lambda: clock.moment)
    settle(clock)
    assert clock.moment == pytest.approx(LIMIT, abs=2 * STEP)


def test_precision_wants_the_fewest_rounds_first() -> None:
    rule = Precision(target=0.5, min_rounds=3, max_rounds=5, enough=0.5)
    assert rule.wants_more(2, 0.1)
    assert not rule.wants_more(3, 0.1)
    assert not rule.met([[1.0]] * 2)


def test_precision_gives_up_after_the_most_rounds() -> None:
    rule = Precision(target=1e-6, min_rounds=3, max_rounds=5, enough=1e-6)
    assert rule.wants_more(4, 0.1)
    assert not rule.wants_more(5, 0.1)
    assert not rule.met([[1.0]] * 5)


def test_no_precision_is_enough_where_only_the_budget_ends_a_run() -> None:
    assert Precision(min_rounds=3, max_rounds=5, enough=0.0).wants_more(4, 1e-9)
