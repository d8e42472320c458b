"""The event clock's rules on the card itself, through torch and through cupy."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
from gpu_card import CARD, SPECS, backend_of, call_of, error_of

from dlbench.backends.backend import Backend
from dlbench.errors import UnsupportedError
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.ops.stream import Add, Copy
from dlbench.ops.tolerance import tolerance
from dlbench.timing.clock import Call
from dlbench.timing.event_clock import SIDE_STREAM, SYNCHRONISES, EventClock
from dlbench.timing.queue import Queue

pytestmark = pytest.mark.gpu

SAMPLES = 21
LAUNCHES = 20
"""Tiny kernels in one call: the host takes longer to launch so many than the card to run them."""
FLOAT = 4


@pytest.fixture(params=SPECS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return backend_of(request.param)


def clock_of(backend: Backend) -> EventClock:
    clock = backend.clock()
    assert isinstance(clock, EventClock)
    return clock


def queue_of(backend: Backend) -> Queue:
    if backend.spec.name == "torch":
        import torch

        from dlbench.backends.torch.queue import TorchQueue

        return TorchQueue(torch.device(CARD))
    from dlbench.backends.cupy.queue import CupyQueue

    queue: Queue = CupyQueue(0)
    return queue


def cold(clock: EventClock, call: Call) -> float:
    clock.rehearse(call)
    return statistics.median(clock.time_cold(call) for _ in range(SAMPLES))


def elsewhere(backend: Backend) -> Call:
    """Return a large product on a stream that is not the clock's."""
    product = call_of(backend, Problem(Matmul(m=2048, n=2048, k=2048), data="zeros"))
    stream = another_stream(backend)

    def call() -> None:
        with stream():
            product()

    return call


def another_stream(backend: Backend) -> Callable[[], AbstractContextManager[object]]:
    """Return what makes another stream the framework's current one."""
    if backend.spec.name == "torch":
        import torch

        other = torch.cuda.Stream(CARD)  # type: ignore[no-untyped-call]
        return lambda: torch.cuda.stream(other)
    import cupy

    stream = cupy.cuda.Stream(non_blocking=True)
    return lambda: stream


def waiting(backend: Backend) -> Call:
    """Return a call that reads a number on the host."""
    tensor = backend.tensor(Problem(Copy(n=1000)).inputs()["a"], "float32")
    return lambda: tensor.sum().item()


def test_an_empty_pair_of_marks_is_below_20_us(backend: Backend) -> None:
    clock = clock_of(backend)
    assert 0 < clock.floor < 20e-6


def test_a_hold_hides_the_launches_of_tiny_kernels(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(limit: float) -> None:
        raise UnsupportedError("not held, to compare")

    tiny = call_of(backend, Problem(Add(n=16)))

    def call() -> None:
        for _ in range(LAUNCHES):
            tiny()

    with backend.activate("library"):
        held, open_queue = clock_of(backend), queue_of(backend)
        monkeypatch.setattr(open_queue, "hold", refuse)
        unheld = EventClock(open_queue)
        hidden, shown = cold(held, call), cold(unheld, call)
    assert "unheld" not in held.observations()
    assert unheld.observations()["unheld"] == "not held, to compare"
    assert hidden < shown


def test_a_copy_within_the_cache_is_slower_cold_than_hot(backend: Backend) -> None:
    clock = clock_of(backend)
    call = call_of(backend, Problem(Copy(n=clock.cache_bytes // 4 // FLOAT), data="zeros"))
    with backend.activate("library"):
        replay = clock.captured([call], LAUNCHES)  # hot, without the host's part
        clock.time(replay, 10)
        hot = statistics.median(clock.time(replay, 10) for _ in range(SAMPLES)) / 10 / LAUNCHES
        assert cold(clock, call) > hot


def test_work_on_another_stream_is_seen_and_the_hosts_time_taken(backend: Backend) -> None:
    clock, call = clock_of(backend), elsewhere(backend)
    with backend.activate("library"):
        clock.rehearse(call)
        seconds = clock.time(call, 3)
        own = call_of(backend, Problem(Matmul(m=2048, n=2048, k=2048), data="zeros"))
        assert clock.observations()["side_stream"] == SIDE_STREAM
        clock.rehearse(own)
        clock.time(own, 3)
        assert "side_stream" not in clock.observations()
        assert seconds > 0.5 * clock.time(own, 3)


def test_a_call_that_reads_a_number_on_the_host_is_found_to_wait(backend: Backend) -> None:
    clock, call = clock_of(backend), waiting(backend)
    assert clock.time_cold(call) > 0
    assert clock.observations()["unheld"] == SYNCHRONISES
    with pytest.raises(UnsupportedError, match="a graph cannot hold a call that makes the host wait"):
        clock.captured([call], 1)


def test_a_call_that_only_launches_is_held(backend: Backend) -> None:
    clock, call = clock_of(backend), call_of(backend, Problem(Add(n=16)))
    with backend.activate("library"):
        assert clock.time_cold(call) > 0
    told = clock.observations()
    assert "unheld" not in told
    assert told["host_us"] > 0


def test_a_replayed_graph_gives_the_answer_of_the_call(backend: Backend) -> None:
    problem = Problem(Matmul(m=129, n=65, k=257))
    (expected,) = problem.op.reference("forward", problem.inputs()).values()
    clock, product = clock_of(backend), call_of(backend, problem)
    kept: list[Any] = []

    def call() -> None:
        kept[:] = [product()]

    with backend.activate("library"):
        replay = clock.captured([call], 2)
        backend.poison(kept[0])
        clock.time(replay, 1)
        values = backend.host(kept[0])
    assert error_of(values, expected) <= tolerance(problem)
