"""A worker's bench on a simulated accelerator: hot, cold and graph samples, throttling, energy, memory."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from dlbench_fake import FakeBackend
from simulated import SimulatedDevice, SimulatedGauge, SimulatedQueue, Slowdown

from dlbench.backends.backend import Implementation, Tensor
from dlbench.errors import UnsupportedError
from dlbench.ops.dtypes import Array
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.plan.case import Case, Variant
from dlbench.results.measurement import Verdict
from dlbench.runner.accelerator import AcceleratorStand
from dlbench.runner.bench import Bench
from dlbench.runner.protocol import Assignment, Failed, Prepare, Prepared, Sampled, Turn
from dlbench.runner.stand import rotation
from dlbench.timing.clock import Call, Clock
from dlbench.timing.event_clock import EventClock

COLD, HOT = 80e-6, 20e-6
ASSIGNMENT = Assignment("fake", "cuda:0", threads=1, seed=0, minimum=1e-3, cache_bytes=2**20)
CASE = Case(Problem(Matmul(m=64, n=64, k=64)), Variant("fake", "right"), "cuda:0")


@dataclass
class Board(SimulatedGauge):
    """A board that draws 250 W while it works."""

    def energy_j(self) -> float | None:
        return 250.0 * self.device.moment * 1e-9


@dataclass
class Accelerator:
    """A simulated device, the framework on it, and the bench of its worker."""

    device: SimulatedDevice = field(default_factory=lambda: SimulatedDevice(cache_bytes=2**20))
    wrong_graphs: bool = False
    free: int | None = None
    made: int = 0

    def __post_init__(self) -> None:
        self.queue = self.device.queue()
        self.backend = SimulatedBackend(self)
        self.bench = Bench(self.backend, ASSIGNMENT, settle=lambda _: None)

    def with_board(self, **changes: Any) -> Board:
        board = Board(self.device, **changes)
        stand = self.bench._stand
        assert isinstance(stand, AcceleratorStand)
        stand._board = board
        return board

    def prepared(self, case: Case = CASE, **changes: Any) -> Prepared:
        reply = self.bench.serve(Prepare(case, 0.0, **changes))
        assert isinstance(reply, Prepared), reply
        return reply

    def refused(self, case: Case) -> tuple[Verdict, str]:
        reply = self.bench.serve(Prepare(case, 0.0))
        assert isinstance(reply, Failed), reply
        return reply.verdict, reply.reason

    def turn(self, case: Case = CASE, seconds: float = 0.01) -> Sampled:
        reply = self.bench.serve(Turn(case.key, seconds))
        assert isinstance(reply, Sampled), reply
        return reply


class SimulatedBackend(FakeBackend):
    """Computes with numpy, and takes the simulated device's time for it."""

    def __init__(self, accelerator: Accelerator) -> None:
        super().__init__("cuda:0", 1)
        self._accelerator = accelerator

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        return (Implementation("matmul", "right", ("forward",), ("float32",), lambda *_: lambda: None),)

    def clock(self) -> Clock:
        return EventClock(self._accelerator.queue)

    def free_memory(self) -> int | None:
        return self._accelerator.free

    def tensor(self, values: Array, dtype: str) -> Tensor:
        self._accelerator.made += 1
        return super().tensor(values, dtype)


@pytest.fixture
def accelerator(monkeypatch: pytest.MonkeyPatch) -> Accelerator:
    made = Accelerator()
    device = made.device

    def prepare(problem: Problem, a: Any, b: Any) -> Call:
        output = np.empty((a.shape[0], b.shape[1]), a.dtype)
        kernel = device.kernel("product", cold=COLD, hot=HOT, nbytes=48 * 1024)

        def call() -> Tensor:
            kernel()
            if not (made.wrong_graphs and made.queue.recording is not None):
                np.matmul(a, b, out=output)
            return output

        return call

    monkeypatch.setattr(
        SimulatedBackend,
        "implementations",
        classmethod(lambda cls: (Implementation("matmul", "right", ("forward",), ("float32",), prepare),)),
    )
    capture = SimulatedQueue.capture

    def replayed(queue: SimulatedQueue, work: Any) -> Call:
        """A replay writes the outputs of the calls that were recorded, as a graph does."""
        replay = capture(queue, work)

        def again() -> None:
            replay()
            if not made.wrong_graphs:
                _quietly(device, work)

        return again

    monkeypatch.setattr(SimulatedQueue, "capture", replayed)
    return made


def _quietly(device: SimulatedDevice, work: Any) -> None:
    """Do the work's arithmetic without launching anything."""
    put = SimulatedQueue.put_kernel
    SimulatedQueue.put_kernel = lambda *_: None  # type: ignore[method-assign]
    try:
        work()
    finally:
        SimulatedQueue.put_kernel = put  # type: ignore[method-assign]


def test_hot_samples_are_batches_of_a_millisecond_by_the_devices_clock(accelerator: Accelerator) -> None:
    assert accelerator.prepared().calls * HOT >= 1e-3
    sampled = accelerator.turn()
    assert sampled.seconds
    assert all(seconds == pytest.approx(HOT, rel=1e-2) for seconds in sampled.seconds)
    assert sampled.conditions["host_us"] == 5.0
    assert sampled.conditions["event_floor_us"] == 0.0
    assert sampled.disturbed == 0


def test_cold_samples_are_single_calls_after_a_flush(accelerator: Accelerator) -> None:
    cold = replace(CASE, cache="cold")
    assert accelerator.prepared(cold).calls == 1
    flushed = accelerator.device.log.count("flush")
    sampled = accelerator.turn(cold)
    assert {round(seconds, 9) for seconds in sampled.seconds} == {COLD}
    assert accelerator.device.log.count("flush") - flushed == len(sampled.seconds)
    assert accelerator.device.deadlocks == 0


def test_a_graphs_replay_is_verified_and_divided_by_its_calls(accelerator: Accelerator) -> None:
    graph = replace(CASE, launch="graph")
    prepared = accelerator.prepared(graph)
    assert prepared.calls % 10 == 0
    assert 1e-3 <= prepared.calls * HOT <= 2.2e-3
    assert all(seconds == pytest.approx(HOT, rel=1e-2) for seconds in accelerator.turn(graph).seconds)


def test_a_cold_graph_rotates_over_copies_that_pass_twice_the_cache(accelerator: Accelerator) -> None:
    graph = replace(CASE, launch="graph", cache="cold")
    prepared = accelerator.prepared(graph)
    copies = rotation(CASE.problem.traffic, 2**20, 256)
    assert copies == 44
    assert prepared.calls == 10 * copies
    assert accelerator.made == 2 * copies


def test_a_cold_graph_of_too_many_copies_is_refused() -> None:
    with pytest.raises(
        UnsupportedError, match=r"2049 copies here, more than 256; measure this size with launch: eager"
    ):
        rotation(1024, 2**20, 256)


def test_a_graph_whose_replay_computes_nothing_is_incorrect(accelerator: Accelerator) -> None:
    accelerator.wrong_graphs = True
    verdict, reason = accelerator.refused(replace(CASE, launch="graph"))
    assert verdict == "incorrect"
    assert "output c is nan" in reason


def test_a_board_that_stays_slowed_down_gives_samples_that_say_so(accelerator: Accelerator) -> None:
    accelerator.prepared()
    accelerator.with_board()
    accelerator.device.slowdowns = (Slowdown(0.0, 1e9, 0.5, ("HW thermal slowdown",), 91.0),)
    sampled = accelerator.turn()
    assert sampled.throttled.startswith("SM clock 705 of 1410 MHz") or "705 of 1410" in sampled.throttled
    assert "let the card cool" in sampled.throttled
    assert sampled.seconds
    assert sampled.conditions["discarded"] > 0
    assert sampled.conditions["sm_clock_mhz"] == 705
    assert sampled.conditions["temperature_c"] == 91.0


def test_a_board_that_stays_slowed_down_is_waited_for_once_and_again_when_it_has_recovered(
    accelerator: Accelerator,
) -> None:
    accelerator.prepared()
    accelerator.with_board()
    device = accelerator.device

    def waited() -> float:
        before = device.moment
        accelerator.turn()
        return (device.moment - before) * 1e-9

    device.slowdowns = (Slowdown(0.0, 1e9, 0.5, ("HW thermal slowdown",), 91.0),)
    assert 10.0 <= waited() < 11.0
    assert waited() < 0.1
    device.slowdowns = ()
    assert waited() < 0.1
    device.slowdowns = (Slowdown(0.0, 1e9, 0.5, ("HW thermal slowdown",), 91.0),)
    assert 10.0 <= waited() < 11.0


def test_a_board_slowed_down_for_a_moment_is_waited_for(accelerator: Accelerator) -> None:
    accelerator.prepared()
    accelerator.with_board()
    now = accelerator.device.moment * 1e-9
    accelerator.device.slowdowns = (Slowdown(now, now + 0.05, 0.5, ("HW thermal slowdown",)),)
    sampled = accelerator.turn()
    assert sampled.throttled == ""
    assert all(seconds == pytest.approx(HOT, rel=1e-2) for seconds in sampled.seconds)
    assert sampled.conditions["discarded"] > 0


def test_a_board_that_vanishes_takes_nothing_with_it(accelerator: Accelerator) -> None:
    accelerator.prepared()
    accelerator.with_board(gone_after=0)
    sampled = accelerator.turn()
    assert sampled.throttled == ""
    assert "sm_clock_mhz" not in sampled.conditions


def test_energy_is_the_boards_over_two_seconds_for_one_call(accelerator: Accelerator) -> None:
    accelerator.with_board()
    before = accelerator.device.moment
    prepared = accelerator.prepared(energy=True)
    assert accelerator.device.moment - before > 2e9
    assert prepared.details["energy_j"] == pytest.approx(250 * HOT, rel=0.05)
    assert "energy_j" not in accelerator.prepared().details
    assert "energy_j" not in accelerator.prepared(replace(CASE, cache="cold"), energy=True).details


def test_a_problem_larger_than_the_devices_memory_is_refused(accelerator: Accelerator) -> None:
    accelerator.free = 1000
    assert accelerator.refused(CASE) == (
        "out_of_memory",
        "needs about 48.0 KiB on cuda:0, 1000 B are free there; measure a smaller problem",
    )


def test_an_accelerator_is_kept_at_work_for_a_quarter_of_a_second_however_steady(
    accelerator: Accelerator,
) -> None:
    stand = accelerator.bench._stand
    kernel = accelerator.device.kernel("steady", cold=COLD, hot=HOT)
    before = stand.clock.now()
    stand.warm_up(kernel, 0.0)
    lasted = stand.clock.now() - before
    assert 0.25 <= lasted < 0.3
    assert (
        accelerator.device.log.count("steady") * HOT > 0.8 * lasted
    )  # and the board was not idle in between
