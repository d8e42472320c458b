"""The queue over the stand-in: its stream, events, hold, flush and graphs."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from standin_cupy import Card, CUDARuntimeError, RawKernel

from dlbench.errors import UnsupportedError

RESET_OFF: Callable[[], None] = lambda: None  # noqa: E731 - a driver without the call


@pytest.fixture
def queue(module: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    made = module("queue")
    monkeypatch.setattr(made, "_reset_of_persisting_lines", RESET_OFF)
    return made.CupyQueue(0)


def test_the_cache_and_the_resolution_are_the_devices(queue: Any, card: Card) -> None:
    assert (queue.cache_bytes, queue.resolution) == (card.cache, 0.5e-6)


def test_what_is_active_is_the_queues_own_stream(queue: Any, card: Card) -> None:
    with queue.active():
        (stream,) = card.streams
    assert card.streams == []
    with queue.active():
        assert card.streams == [stream]


def test_marks_are_events_of_the_stream_and_their_distance_is_in_seconds(queue: Any, card: Card) -> None:
    card.elapsed_ms = iter([2.5])
    start, end = queue.record(), queue.record()
    assert start.stream is end.stream
    assert queue.elapsed(start, end) == 2.5e-3


def test_waiting_is_for_the_stream_or_for_the_device(queue: Any, card: Card) -> None:
    queue.wait()
    queue.wait_device()
    assert card.log == ["stream waited for", "device waited for"]


def test_a_hold_that_is_released_in_time_was_held(queue: Any, card: Card) -> None:
    queue.hold(1.5)
    (hold,) = card.holds
    assert hold.limit_ns == 1_500_000_000
    assert card.launched[-1].grid == card.launched[-1].block == (1,)
    assert queue.release()
    queue.wait()
    assert card.holds == []


def test_a_hold_whose_limit_passed_was_not(queue: Any) -> None:
    queue.hold(1.0)
    queue.wait()
    assert not queue.release()


def test_a_hold_that_gave_up_says_nothing_of_the_next(queue: Any) -> None:
    queue.hold(1.0)
    queue.wait()
    assert not queue.release()
    queue.hold(1.0)
    assert queue.release()
    queue.wait()


def test_a_release_does_not_let_the_next_hold_go(queue: Any, card: Card) -> None:
    queue.hold(1.0)
    assert queue.release()
    queue.hold(1.0)
    first, second = card.holds
    assert (first.go, first.expired) == (second.go, second.expired)
    assert ctypes.c_int.from_address(first.go).value == first.ticket < second.ticket
    assert queue.release()


def test_the_flags_lie_side_by_side_and_begin_at_nothing(queue: Any, card: Card) -> None:
    queue.hold(1.0)
    (hold,) = card.holds
    assert hold.expired == hold.go + 4
    assert ctypes.c_int.from_address(hold.go).value == ctypes.c_int.from_address(hold.expired).value == 0
    queue.release()


def test_a_hold_without_a_compiler_is_unsupported(queue: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def launch(*_: Any, **__: Any) -> None:
        raise ImportError("libnvrtc.so.13: cannot open shared object file")

    monkeypatch.setattr(RawKernel, "__call__", launch)
    with pytest.raises(UnsupportedError, match=r"a CUDA 13 library is missing .*cupy-cuda13x\[ctk\]"):
        queue.hold(1.0)
    assert not queue.synchronises(lambda: None)


def test_a_flush_writes_twice_the_cache_into_one_buffer(queue: Any, card: Card) -> None:
    queue.flush()
    buffer = queue._overwritten
    queue.flush()
    assert card.log == [f"memset {2 * card.cache}"] * 2
    assert queue._overwritten is buffer
    assert not np.asarray(buffer).any()


def test_a_flush_lets_persisting_lines_go_first(
    module: Any, card: Card, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = module("queue")
    monkeypatch.setattr(made, "_reset_of_persisting_lines", lambda: lambda: card.log.append("reset"))
    made.CupyQueue(0).flush()
    assert card.log == ["reset", f"memset {2 * card.cache}"]


def test_a_driver_without_persisting_lines_has_none_to_reset(
    module: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = module("queue")

    def absent(name: str) -> Any:
        assert name == "libcuda.so.1"
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", absent)
    assert made._reset_of_persisting_lines() is None
    made._reset_of_persisting_lines.cache_clear()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    assert made._reset_of_persisting_lines() is None
    made._reset_of_persisting_lines.cache_clear()

    class Driver:
        cuCtxResetPersistingL2Cache = "the call"  # noqa: N815 - the driver's name

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Driver())
    assert made._reset_of_persisting_lines() == "the call"


def test_a_call_that_waits_is_found_out(queue: Any, card: Card) -> None:
    assert queue.synchronises(queue.wait)
    assert card.launched[-1].arguments[3] == 50_000_000  # nanoseconds
    assert card.holds == []


def test_a_call_that_only_queues_is_not(queue: Any, card: Card) -> None:
    made: list[Any] = []
    assert not queue.synchronises(lambda: made.append(card.streams[-1]))
    assert len(made) == 1
    assert card.holds == []


def test_a_call_that_fails_leaves_no_hold_behind(queue: Any, card: Card) -> None:
    with pytest.raises(ZeroDivisionError):
        queue.synchronises(lambda: 1 / 0)
    assert card.holds == []
    assert card.log[-1] == "stream waited for"


def test_a_graph_is_put_into_the_stream_at_each_call(queue: Any, card: Card) -> None:
    worked: list[int] = []
    replay = queue.capture(lambda: worked.append(len(card.streams)))
    assert worked == [1]
    replay()
    replay()
    assert card.log == ["capture", f"graph on {queue._stream.ptr}", f"graph on {queue._stream.ptr}"]


def test_a_graphs_temporary_arrays_have_a_pool_that_lives_as_long(queue: Any, card: Card) -> None:
    replay = queue.capture(lambda: None)
    (allocator,) = card.allocators
    assert allocator.__self__ is replay._pool


def test_work_that_waits_cannot_be_captured(queue: Any) -> None:
    with pytest.raises(UnsupportedError) as raised:
        queue.capture(queue.wait)
    assert str(raised.value) == (
        "it cannot be captured in a CUDA graph: operation not permitted when stream is capturing"
    )
    queue.wait()  # the stream is usable


def test_a_capture_that_fails_for_another_reason_ends_and_says_so(queue: Any) -> None:
    def lost() -> None:
        raise CUDARuntimeError(700, "illegal address")

    for work, error in ((lambda: 1 / 0, ZeroDivisionError), (lost, CUDARuntimeError)):
        with pytest.raises(error):
            queue.capture(work)
        queue.wait()


def test_a_capture_that_was_spoilt_is_ended_without_hiding_why(
    queue: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end() -> None:
        queue._stream._capturing = False
        raise CUDARuntimeError(901, "capture invalidated")

    monkeypatch.setattr(queue._stream, "end_capture", end)
    with pytest.raises(UnsupportedError, match="operation not permitted when stream is capturing"):
        queue.capture(queue.wait)


def test_host_time_is_the_hosts(queue: Any, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    clock = module("queue").time
    monkeypatch.setattr(clock, "perf_counter", lambda: 12.5)
    monkeypatch.setattr(clock, "sleep", slept.append)
    queue.sleep(0.25)
    assert (queue.now(), slept) == (12.5, [0.25])
