"""A run from plan to verdicts, with workers in this process and under virtual time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dlbench_fake import FakeBackend
from fakes import FakeClock

from dlbench.api import variants
from dlbench.backends.backend import Backend
from dlbench.errors import UserError
from dlbench.plan.case import Case
from dlbench.plan.config import Config
from dlbench.plan.sweep import cases
from dlbench.results.measurement import CaseRecord, Run, Visit
from dlbench.results.store import Store
from dlbench.runner.arm import Arm, Machine
from dlbench.runner.bench import Bench
from dlbench.runner.observer import Silent
from dlbench.runner.protocol import Assignment, Failed, Prepare, Ready, Reply, Request, Turn
from dlbench.runner.run import Session


@dataclass
class Laboratory:
    """A machine under virtual time, and a record of what was asked of its workers."""

    clock: FakeClock = field(default_factory=lambda: FakeClock(cost=lambda: 1e-3))
    hired: int = 0
    turns: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    prepared: list[Prepare] = field(default_factory=list)
    threads: list[tuple[str, int]] = field(default_factory=list)

    def hire(self, assignment: Assignment) -> LocalWorker:
        self.hired += 1
        return LocalWorker(self, assignment)


class TimedBackend(FakeBackend):
    """The fake backend, its calls timed by the laboratory's clock."""

    def __init__(self, device: str, threads: int, clock: FakeClock) -> None:
        super().__init__(device, threads)
        self._clock = clock

    def clock(self) -> FakeClock:
        return self._clock


class LocalWorker:
    """A worker without a process."""

    def __init__(self, laboratory: Laboratory, assignment: Assignment) -> None:
        self._laboratory = laboratory
        self._device = assignment.device
        self._heard = False
        backend: Backend = TimedBackend(assignment.device, assignment.threads, laboratory.clock)
        self._bench = Bench(backend, assignment, settle=lambda _: None)

    def ready(self) -> Reply:
        return Ready({"fake": "1.0"})

    def ask(self, request: Request, timeout: float) -> Reply:
        if not self._heard:
            self._heard = True
            self._laboratory.threads.append((self._device, threading.get_ident()))
        if isinstance(request, Prepare):
            self._laboratory.prepared.append(request)
        if isinstance(request, Turn):
            self._laboratory.turns.append(request.key.split("|")[-2])
            self._laboratory.asked.append(request.key)
        return self._bench.serve(request)

    def close(self) -> None:
        """Nothing to end."""


def config(*names: str, m: list[int] | None = None, **measure: object) -> Config:
    policy = {"rounds": {"min": 3, "max": 4}, "precision": 0.05} | measure
    return Config.model_validate(
        {
            "name": "test",
            "variants": [f"fake:{name}" for name in names],
            "baseline": f"fake:{names[0]}",
            "devices": "cpu",
            "measure": policy,
            "sweeps": [{"op": "matmul", "params": {"m": m or [8], "n": 8, "k": 8}}],
        }
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(str(tmp_path / "runs.db")) as opened:
        yield opened


def arm(store: Store, wanted: Config, number: int = 0) -> Arm:
    planned: list[Case] = list(cases(wanted, ["cpu"], variants()))
    machine = Machine({"machine": {"fingerprint": "x"}}, cores=2, cache=2**10)
    return Arm(wanted, planned, machine, store, number=number)


def session(arms: list[Arm], laboratory: Laboratory | None = None, observer: Silent | None = None) -> Session:
    laboratory = laboratory or Laboratory()
    budget = arms[0].config.measure.budget
    return Session(arms, observer or Silent(), budget, laboratory.hire, laboratory.clock.now)


def run(store: Store, wanted: Config, laboratory: Laboratory | None = None) -> Run:
    only = arm(store, wanted)
    only.begin("test")
    session([only], laboratory).measure()
    return store.load(only.run_id)


def test_a_run_measures_every_case_in_the_fewest_rounds_and_is_finished(store: Store) -> None:
    done = run(store, config("right", m=[8, 16]))
    assert [m.verdict for m in done.measurements] == ["ok", "ok"]
    assert {len(m.rounds) for m in done.measurements} == {3}
    assert all(sample == pytest.approx(1e-3) for m in done.measurements for r in m.rounds for sample in r)
    assert done.finished


def test_every_round_has_fresh_workers(store: Store) -> None:
    laboratory = Laboratory()
    run(store, config("right"), laboratory)
    assert laboratory.hired == 3


def test_variants_are_sampled_there_and_back(store: Store) -> None:
    laboratory = Laboratory()
    run(store, config("right", "slow", visit=0.1, first_visit=0.05), laboratory)
    lengths = [4, 8, 8]  # two passes of 25 ms over two variants in round 1, four in each later round
    assert len(laboratory.turns) == sum(lengths)
    for length in lengths:
        turns, laboratory.turns = laboratory.turns[:length], laboratory.turns[length:]
        assert turns[:4] == turns[:4][::-1]
        assert turns == turns[:4] * (length // 4)
        assert len(set(turns)) == 2


def test_problems_share_a_sitting_and_take_short_turns(store: Store) -> None:
    laboratory = Laboratory()
    done = run(store, config("right", m=[8, 16], visit=0.1, first_visit=0.1), laboratory)
    assert {len(m.visits[1].samples) for m in done.measurements} == {100}  # of 1 ms, in four turns of 25 ms
    assert {tuple(visit.conditions["turns"]) for m in done.measurements for visit in m.visits} == {(25,) * 4}
    assert len(laboratory.asked) == 3 * 2 * 4
    first = [laboratory.asked[i] for i in (0, 1)]
    assert laboratory.asked[:8] == (first + first[::-1]) * 2
    assert len(set(first)) == 2


def test_a_long_call_sits_out_once_its_time_is_used(store: Store) -> None:
    laboratory = Laboratory()
    laboratory.clock.cost = lambda: 0.2
    done = run(store, config("right", visit=0.2, first_visit=0.2), laboratory)
    assert [len(visit.samples) for visit in done.measurements[0].visits] == [2, 2, 2]


def test_a_budget_alone_is_used_up(store: Store) -> None:
    laboratory = Laboratory()
    done = run(store, config("right", budget=3.0, precision=None, rounds={"min": 3}), laboratory)
    assert 2.5 <= laboratory.clock.moment <= 3.5
    assert len(done.measurements[0].rounds) > 10
    assert done.measurements[0].verdict == "ok"


def test_a_precision_ends_a_run_within_its_budget(store: Store) -> None:
    laboratory = Laboratory()
    done = run(store, config("right", budget=30.0, precision=0.05), laboratory)
    assert laboratory.clock.moment < 2.0
    assert len(done.measurements[0].rounds) == 3


def test_a_wrong_variant_is_incorrect_and_never_timed(store: Store) -> None:
    laboratory = Laboratory()
    done = run(store, config("right", "wrong"), laboratory)
    verdicts = {m.case.variant: (m.verdict, m.rounds) for m in done.measurements}
    assert verdicts["right"][0] == "ok"
    assert verdicts["wrong"] == ("incorrect", ())
    assert set(laboratory.turns) == {"fake:right"}


def test_every_failure_is_a_row_with_its_reason(store: Store) -> None:
    done = run(store, config("right", "raises", "refuses", "mutates", "stale"))
    found = {m.case.variant: m.verdict for m in done.measurements}
    assert found == {
        "right": "ok",
        "raises": "failed",
        "refuses": "unsupported",
        "mutates": "incorrect",
        "stale": "incorrect",
    }
    assert all(m.reason for m in done.measurements if m.verdict != "ok")


def test_a_wide_case_is_visited_until_the_most_rounds(store: Store) -> None:
    laboratory = Laboratory()
    laboratory.clock.cost = lambda: 1e-3 * (1.0, 1.3, 1.15, 1.4)[laboratory.hired - 1]
    (measurement,) = run(store, config("right"), laboratory).measurements
    assert len(measurement.rounds) == 4
    assert measurement.verdict == "unconverged"
    assert measurement.reason.endswith("4 rounds are the most (measure.rounds.max)")


def test_a_budget_that_runs_out_leaves_rows_that_say_so(store: Store) -> None:
    done = run(store, config("right", m=list(range(8, 48)), budget=0.5))
    measured = [m for m in done.measurements if m.rounds]
    left_out = [m for m in done.measurements if not m.rounds]
    assert measured
    assert left_out
    assert {m.verdict for m in done.measurements} == {"unconverged"}
    assert {m.reason for m in left_out} == {"not measured: the budget of 500 ms ran out first"}


class Interrupting(Silent):
    """An observer that presses Ctrl-C after so many visits."""

    def __init__(self, after: int) -> None:
        self._left = after

    def visited(self, case: CaseRecord, visit: Visit) -> None:
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("after", [1, 3, 4, 7, 11])
def test_an_interrupted_run_goes_on_where_it_was_and_ends_with_the_same_table(
    store: Store, after: int
) -> None:
    wanted = config("right", m=[8, 16, 24, 32])
    whole = run(store, wanted)
    first = arm(store, wanted)
    first.begin("test")
    with pytest.raises(KeyboardInterrupt):
        session([first], observer=Interrupting(after)).measure()
    unfinished = store.unfinished("test")
    assert unfinished is not None
    assert sum(len(m.visits) for m in unfinished.measurements) == after
    second = arm(store, wanted)
    second.take_up(unfinished)
    session([second]).measure()
    resumed = store.load(second.run_id)
    assert store.unfinished("test") is None
    assert [(m.case, m.verdict, [v.round for v in m.visits]) for m in resumed.measurements] == [
        (m.case, m.verdict, [v.round for v in m.visits]) for m in whole.measurements
    ]


def test_a_run_is_not_resumed_with_another_config(store: Store) -> None:
    first = arm(store, config("right"))
    first.begin("test")
    with pytest.raises(KeyboardInterrupt):
        session([first], observer=Interrupting(1)).measure()
    unfinished = store.unfinished("test")
    assert unfinished is not None
    with pytest.raises(UserError, match="was started with another config"):
        arm(store, config("right", m=[99])).take_up(unfinished)


def test_a_worker_that_is_lost_costs_its_own_case_only(store: Store) -> None:
    class Fragile(Laboratory):
        def hire(self, assignment: Assignment) -> LocalWorker:
            worker = super().hire(assignment)
            serve = worker.ask

            def ask(request: Request, timeout: float) -> Reply:
                if isinstance(request, Prepare) and request.case.variant.name == "slow":
                    return Failed("crashed", "SIGSEGV", lost=True)
                return serve(request, timeout)

            worker.ask = ask  # type: ignore[method-assign]
            return worker

    done = run(store, config("right", "slow", "lazy"), Fragile())
    assert {m.case.variant: m.verdict for m in done.measurements} == {
        "right": "ok",
        "slow": "crashed",
        "lazy": "incorrect",
    }
    (right,) = [m for m in done.measurements if m.case.variant == "right"]
    assert len(right.rounds) == 3


def test_two_arms_take_turns_within_each_problem(store: Store) -> None:
    laboratory = Laboratory()
    arms = [arm(store, config("right", m=[8, 16]), number) for number in (0, 1)]
    for one in arms:
        one.begin("arm")
    session(arms, laboratory).measure()
    done = [store.load(one.run_id) for one in arms]
    assert laboratory.hired == 3 * 2
    assert [[len(m.rounds) for m in one.measurements] for one in done] == [[3, 3], [3, 3]]
    assert all(one.finished for one in done)
    groups = [key.rpartition("|")[0] for key in laboratory.asked]
    assert groups[0:8:2] == groups[1:8:2]  # both arms' turns at a problem follow one another


def test_cold_samples_are_kept_apart_from_hot_ones(store: Store) -> None:
    wanted = Config.model_validate(config("right").model_dump(by_alias=True) | {
        "sweeps": [{"op": "matmul", "params": {"m": 8, "n": 8, "k": 8}, "cache": ["hot", "cold"]}]
    })  # fmt: skip
    done = run(store, wanted)
    assert [(m.case.cache, m.verdict) for m in done.measurements] == [("hot", "ok"), ("cold", "ok")]
    assert {visit.calls for visit in done.measurements[1].visits} == {1}


def on_devices(store: Store, devices: list[str], laboratory: Laboratory, **measure: object) -> Run:
    wanted = config("right", "wrong", m=[8, 16], **measure)
    planned = list(cases(wanted.model_copy(update={"devices": tuple(devices)}), devices, variants()))
    machine = Machine({"machine": {"fingerprint": "x"}}, cores=2, cache=2**10)
    only = Arm(wanted, planned, machine, store)
    only.begin("test")
    session([only], laboratory).measure()
    return store.load(only.run_id)


def test_devices_measured_in_parallel_have_a_thread_each_and_the_processor_goes_first(store: Store) -> None:
    laboratory = Laboratory()
    done = on_devices(
        store, ["cuda:1", "cpu", "cuda:0"], laboratory, parallel=True, rounds={"min": 2, "max": 2}
    )
    assert len(done.measurements) == 12
    for measurement in done.measurements:
        right = measurement.case.variant == "right"
        assert len(measurement.rounds) == (2 if right else 0)
        assert (measurement.verdict == "incorrect") is not right
    assert done.environment["backends"].keys() == {"fake", "fake on cuda:0", "fake on cuda:1"}
    here = threading.get_ident()
    for number in range(2):
        threads = laboratory.threads[number * 3 : number * 3 + 3]
        assert threads[0][0] == "cpu"
        assert {device for device, _ in threads[1:]} == {"cuda:0", "cuda:1"}
        assert [ident == here for _, ident in threads] == [True, False, False]


def test_devices_are_measured_one_after_the_other_where_nothing_is_said(store: Store) -> None:
    laboratory = Laboratory()
    on_devices(store, ["cuda:0", "cuda:1"], laboratory)
    assert {ident for _, ident in laboratory.threads} == {threading.get_ident()}


def test_energy_is_asked_for_once_in_round_2(store: Store) -> None:
    laboratory = Laboratory()
    run(store, config("right", energy=True), laboratory)
    assert [request.energy for request in laboratory.prepared] == [False, True, False]
    assert [request.weigh for request in laboratory.prepared] == [True, False, False]
