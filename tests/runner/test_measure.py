"""One function of the user's own: how its time reads, and what is counted of it."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from fakes import FakeClock

from dlbench.runner.measure import Timing, clock_for, make_ready, measure, name_of
from dlbench.statistics import Interval
from dlbench.timing.clock import HostClock

MATMUL = Timing(
    name="matmul",
    time=Interval(612e-6, 605e-6, 620e-6),
    median=640e-6,
    samples=1480,
    windows=5,
    clock="HostClock",
)


@pytest.fixture(autouse=True)
def _no_collections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under fake time, most of a test would be the garbage collector's, which plays no part in what is found."""
    monkeypatch.setattr(gc, "collect", lambda: 0)
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 1)


def slow() -> FakeClock:
    return FakeClock(cost=lambda: 0.1)


def test_a_timing_reads_as_one_line_with_the_time_first() -> None:
    assert repr(MATMUL) == (
        "matmul: 612 µs ±1.2% [605 µs, 620 µs], median 640 µs, 1,480 samples in 5 windows"
    )


def test_rates_stand_after_the_time_where_operations_and_bytes_are_known() -> None:
    assert repr(replace(MATMUL, flops=268_435_456, traffic=786_432)) == (
        "matmul: 612 µs ±1.2% [605 µs, 620 µs], 439 GFLOP/s, 1.29 GB/s, median 640 µs, 1,480 samples in 5 windows"
    )


def test_a_noisy_timing_says_so() -> None:
    assert repr(replace(MATMUL, samples=1, windows=1, disturbed=0.6)).endswith(
        "1 sample in 1 window, noisy: 60% of samples preempted"
    )


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (torch.matmul, (torch.ones(64, 32), torch.ones(32, 16))),
        (lambda: torch.ones(64, 32) @ torch.ones(32, 16), ()),
        (lambda pair: torch.matmul(*pair).sum().item(), ((torch.ones(64, 32), torch.ones(32, 16)),)),
    ],
    ids=["takes tensors", "returns one", "takes them in a list"],
)
def test_torchs_counter_gives_the_operations_that_were_not_given(
    function: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    timing = measure(function, *arguments, clock=slow(), budget=1.0)
    assert timing.flops == 2 * 64 * 32 * 16
    assert timing.gflops == pytest.approx(2 * 64 * 32 * 16 / 0.1 / 1e9)
    assert "0.000655 GFLOP/s" in repr(timing)


def test_operations_are_counted_without_autograd_too() -> None:
    weights = torch.ones(32, 16, requires_grad=True)
    with torch.inference_mode():
        assert make_ready(lambda: torch.ones(64, 32) @ weights, None)[1] == 2 * 64 * 32 * 16


def test_a_backward_pass_is_counted_with_its_forward_pass() -> None:
    weights = torch.ones(32, 16, requires_grad=True)

    def step(inputs: torch.Tensor) -> None:
        (inputs @ weights).sum().backward()  # type: ignore[no-untyped-call]

    assert measure(step, torch.ones(64, 32), clock=slow(), budget=1.0).flops == 2 * 2 * 64 * 32 * 16


def test_given_operations_stand() -> None:
    timing = measure(torch.matmul, torch.ones(4, 4), torch.ones(4, 4), flops=7, clock=slow())
    assert timing.flops == 7


def test_a_call_of_which_the_counter_knows_nothing_has_no_rate() -> None:
    timing = measure(torch.relu, torch.ones(8), clock=slow(), budget=1.0)
    assert timing.flops is None
    assert "FLOP" not in repr(timing)


@pytest.mark.parametrize(
    ("output", "untimed"), [(torch.ones(2), 4), ([torch.ones(2), {"a": torch.ones(2)}], 4), (np.ones(2), 3)]
)
def test_counting_takes_one_call_more_before_the_first_is_timed(output: object, untimed: int) -> None:
    clock = slow()
    timed_before_call: list[int] = []

    def function() -> object:
        timed_before_call.append(len(clock.timed))
        return output

    measure(function, clock=clock, budget=1.0)
    assert timed_before_call.count(0) == untimed
    assert len(timed_before_call) == untimed + sum(clock.timed)


@pytest.mark.parametrize("enabled", [True, False])
def test_the_grad_mode_is_the_users_in_every_call(enabled: bool) -> None:
    seen: set[bool] = set()

    def function(tensor: torch.Tensor) -> torch.Tensor:
        seen.add(torch.is_grad_enabled())
        return tensor

    with torch.set_grad_enabled(enabled):
        measure(function, torch.ones(2), clock=slow(), budget=1.0)
    assert seen == {enabled}


def test_a_call_that_cannot_be_watched_is_timed_all_the_same() -> None:
    def unwatchable(tensor: torch.Tensor) -> torch.Tensor:
        if torch._C._len_torch_dispatch_stack() > 0:
            raise RuntimeError("not under a dispatch mode")
        return tensor @ tensor

    timing = measure(unwatchable, torch.ones(4, 4), clock=slow(), budget=1.0)
    assert timing.flops is None
    assert timing.time.value == pytest.approx(0.1)


def test_a_subclass_of_a_tensor_is_known_as_torchs() -> None:
    class Mine(torch.Tensor):
        pass

    mine = torch.ones(4, 4).as_subclass(Mine)
    assert make_ready(lambda: mine @ mine, None)[1] == 2 * 4 * 4 * 4
    assert isinstance(clock_for([mine]), HostClock)


def test_a_function_without_a_name_is_called_by_its_class() -> None:
    class Squared:
        def __call__(self, x: int) -> int:
            return x * x

    assert name_of(Squared()) == "Squared"
    assert name_of(sorted) == "sorted"


@pytest.mark.parametrize(("frozen_by_user", "expected"), [(0, ["freeze", "unfreeze"]), (9, [])])
def test_what_there_is_already_is_frozen_meanwhile_unless_the_user_froze_it(
    monkeypatch: pytest.MonkeyPatch, frozen_by_user: int, expected: list[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(gc, "get_freeze_count", lambda: frozen_by_user)
    monkeypatch.setattr(gc, "freeze", lambda: asked.append("freeze"))
    monkeypatch.setattr(gc, "unfreeze", lambda: asked.append("unfreeze"))
    clock = slow()

    def fails_when_timed() -> None:
        if clock.moment > 0.3:
            raise KeyError

    with pytest.raises(KeyError):
        measure(fails_when_timed, clock=clock)
    assert asked == expected
    assert gc.isenabled()
