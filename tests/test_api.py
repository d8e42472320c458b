"""The Python API."""

from __future__ import annotations

import pytest
import torch
from fakes import FakeClock

import dlbench
from dlbench.runner.measure import clock_for, measure
from dlbench.timing.clock import HostClock
from dlbench.timing.event_clock import EventClock


def test_the_public_names_are_a_decision() -> None:
    assert dlbench.__all__ == [
        "Backend", "BackendSpec", "Config", "DlbenchError", "Op", "Problem", "Run", "State", "Timing", "UserError",
        "benchmark", "compare", "implements", "load", "load_config", "measure", "run",
    ]  # fmt: skip
    assert all(getattr(dlbench, name) is not None for name in dlbench.__all__)
    assert set(dlbench.__all__) <= set(dir(dlbench))


def test_compare_takes_two_functions_in_turn() -> None:
    def one() -> None:
        """Costs a tenth more."""

    def other() -> None:
        """Costs what it costs."""

    current: list[object] = []

    class Clock(FakeClock):
        def time(self, call: object, calls: int) -> float:
            current[:] = [call]
            return super().time(call, calls)  # type: ignore[arg-type]

    clock = Clock(cost=lambda: 1.1e-4 if current == [one] else 1e-4)
    pair = dlbench.compare(one, other, clock=clock)
    assert pair.ratio == pytest.approx(1.1)
    assert (pair.verdict, pair.first.name, pair.second.name) == ("faster", "one", "other")


def test_compare_takes_runs_or_functions_but_no_mixture() -> None:
    with pytest.raises(dlbench.UserError, match="compare takes two functions, or runs"):
        dlbench.compare("latest", print)  # type: ignore[call-overload]
    with pytest.raises(dlbench.UserError, match="no run `nothing`"):
        dlbench.compare("nothing", "something")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute `nonsense`"):
        dlbench.nonsense  # noqa: B018 - the access is the test


def test_a_run_from_python_gives_a_frame() -> None:
    config = dlbench.load_config(
        "quick", ["measure.first_visit=10ms", "measure.rounds.min=1", "measure.rounds.max=1"]
    )
    run = dlbench.run(config, only=["softmax", "torch:library"], peaks=False)
    frame = run.frame()
    assert len(frame) == 1
    assert frame["verdict"][0] in {"unconverged", "noisy"}
    assert frame["time_us"][0] > 0
    assert dlbench.load(run.id).id == run.id


def test_a_function_is_measured_under_its_own_name() -> None:
    def double(x: int, by: int = 2) -> int:
        return x * by

    clock = FakeClock(cost=lambda: 1e-4)
    timing = measure(double, 3, by=4, flops=2_000, clock=clock, budget=2.0)
    assert timing.time.value == pytest.approx(1e-4)
    assert timing.gflops == pytest.approx(0.02)
    assert timing.gbps is None
    assert repr(timing).startswith("double: 100 µs ±1.4% [9")
    assert "0.0200 GFLOP/s" in repr(timing)


def test_measuring_stops_at_the_precision_or_at_the_budget() -> None:
    steady = measure(int, clock=FakeClock(cost=lambda: 1e-4), budget=100.0)
    assert steady.windows == 4  # the prior's ±2 % is met by the fourth equal window
    slow = measure(int, clock=FakeClock(cost=lambda: 0.5), budget=3.0)
    assert slow.windows <= 6


def test_what_the_function_raises_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        measure(lambda: 1 / 0)


@pytest.mark.parametrize("wrong", [{"budget": 0}, {"precision": -1}])
def test_limits_must_be_positive(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        measure(int, **wrong)  # type: ignore[arg-type]


def test_the_host_clock_is_taken_for_tensors_on_the_processor() -> None:
    assert isinstance(clock_for([torch.zeros(3), {"a": [torch.ones(2)]}]), HostClock)


def test_device_events_are_taken_for_a_tensor_on_an_accelerator(monkeypatch: pytest.MonkeyPatch) -> None:
    class OnCard(torch.Tensor):
        device = torch.device("cuda:0")

    OnCard.__module__ = "torch"
    assert isinstance(clock_for([[torch.zeros(1).as_subclass(OnCard)]]), EventClock)
