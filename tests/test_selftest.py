"""The self-test: its judgements on made-up numbers, its measuring on a simulated device that is broken in turn."""

from __future__ import annotations

import io
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from dlbench_fake import ABSENT, SPEC, FakeBackend
from rich.console import Console
from simulated import SimulatedDevice, SimulatedGauge, SimulatedQueue, Slowdown

from dlbench.backends.backend import BackendSpec, Identity, Implementation, Tensor
from dlbench.backends.catalogue import backends as catalogue
from dlbench.devices.nvml import OtherProcess
from dlbench.ops.problem import Problem
from dlbench.report.selftest import print_report
from dlbench.results.finding import Finding, Report
from dlbench.selftest import checks, child, parent, run
from dlbench.selftest.checks import Answers, Judged
from dlbench.selftest.measures import QUICK, Check, Subject, checks_of, judged
from dlbench.timing.clock import Call, Clock
from dlbench.timing.event_clock import EventClock

CACHE = 2**20
UUID = "GPU-0123"

# ---- judgements


def test_right_answers_pass_and_tell_what_is_unsupported() -> None:
    assert checks.answers(Answers(right=3)) == ("passed", "3 right", "")
    found = Answers(right=3, unsupported=Counter({"rare": 1, "no bfloat16": 4}))
    assert checks.answers(found) == ("passed", "3 right, 5 unsupported (no bfloat16; rare)", "")


def test_a_variant_that_supports_nothing_here_is_skipped() -> None:
    assert checks.answers(Answers(unsupported=Counter({"no cuDNN": 2}))) == (
        "skipped",
        "0 right, 2 unsupported (no cuDNN)",
        "",
    )


def test_wrong_answers_fail_and_the_first_three_are_named() -> None:
    found = checks.answers(Answers(right=3, wrong=["a", "b", "c", "d"]))
    assert found[:2] == ("failed", "4 wrong, 3 right: a; b; c; and 1 more")
    assert found.advice.startswith("do not trust this variant here")


@pytest.mark.parametrize(
    ("device", "state"), [(0.0476, "passed"), (0.0524, "passed"), (0.047, "failed"), (0.053, "failed")]
)
def test_events_and_host_agree_within_five_percent(device: float, state: str) -> None:
    assert checks.against_host(device, 0.05).state == state


def test_what_disagrees_is_said_with_both_times() -> None:
    assert checks.against_host(0.025, 0.05).detail == (
        "25.0 ms by events, 50.0 ms by the host's clock: more than 5% apart"
    )
    assert (
        checks.against_profiler(0.025, 0.05).detail
        == "25.0 ms by events, 50.0 ms by the profiler: more than 10% apart"
    )


def test_events_and_profiler_agree_within_ten_percent() -> None:
    assert checks.against_profiler(0.0545, 0.05) == (
        "passed",
        "54.5 ms by events, 50.0 ms by the profiler",
        "",
    )
    assert checks.against_profiler(0.0555, 0.05).state == "failed"


@pytest.mark.parametrize("nothing", [None, 0.0])
def test_a_profiler_that_saw_nothing_is_no_witness(nothing: float | None) -> None:
    assert checks.against_profiler(0.05, nothing) == (
        "skipped",
        "the framework has no profiler, or it saw no kernel",
        "",
    )


def test_larger_products_may_be_a_fifth_slower_than_the_best_and_no_more() -> None:
    assert checks.growth({256: 1e12, 512: 10e12, 1024: 8e12}) == (
        "passed",
        "256: 1.00 TFLOP/s, 512: 10.0 TFLOP/s, 1024: 8.00 TFLOP/s (each at least 80% of the best before)",
        "",
    )
    failed = checks.growth({256: 1e12, 512: 10e12, 1024: 9e12, 2048: 7e9})
    assert failed[:2] == (
        "failed",
        "2048×2048×2048 reaches 7.00 GFLOP/s, 0% of a smaller product's 10.0 TFLOP/s (at least 80% expected)",
    )
    assert "slowed down" in failed.advice


def test_one_size_shows_no_growth() -> None:
    assert checks.growth({256: 1e12}) == ("skipped", "a second size would take too long here", "")


@pytest.mark.parametrize(
    ("measured", "state"), [(1000e9, "failed"), (999e9, "passed"), (401e9, "passed"), (400e9, "failed")]
)
def test_bandwidth_is_below_the_datasheets_and_not_far_below(measured: float, state: str) -> None:
    assert checks.bandwidth(measured, 1000e9, "T").state == state


def test_bandwidth_tells_its_share_and_needs_a_datasheet() -> None:
    assert checks.bandwidth(900e9, 1000e9, "T") == (
        "passed",
        "a copy moves 900 GB/s, 90% of the 1000 GB/s that T is stated to have",
        "",
    )
    assert checks.bandwidth(900e9, None, "T") == (
        "skipped",
        "a copy moves 900 GB/s; no datasheet of this device is known",
        "",
    )


def test_a_flush_makes_a_copy_slower_by_a_tenth() -> None:
    assert checks.flush(12e-6, 10e-6) == (
        "passed",
        "a copy takes 12.0 µs after a flush, 10.0 µs after itself",
        "",
    )
    assert checks.flush(11e-6, 10e-6)[:2] == (
        "failed",
        "a copy takes 11.0 µs after a flush, 10.0 µs after itself: at least 1.1 times as long expected",
    )


@pytest.mark.parametrize("hot", [0.0, -1e-6])
def test_a_copy_that_takes_no_time_after_itself_proves_no_flush(hot: float) -> None:
    found = checks.flush(12e-6, hot)
    assert found.state == "failed"
    assert found.detail.endswith("times vary too much to tell cold from hot")


def test_the_floor_is_below_twenty_microseconds() -> None:
    assert checks.floor(5e-6) == ("passed", "5.00 µs between two marks with nothing in between", "")
    assert checks.floor(20e-6)[:2] == (
        "failed",
        "20.0 µs between two marks with nothing in between, 20.0 µs at most expected",
    )


def test_a_graph_is_not_slower() -> None:
    assert checks.graph(11e-6, 10e-6).state == "passed"
    assert checks.graph(12e-6, 10e-6)[:2] == (
        "failed",
        "a small product takes 12.0 µs in a graph, 10.0 µs launched by itself: slower",
    )


def test_a_board_is_found_cool_and_ours() -> None:
    assert checks.board(UUID, "H", "", ()) == (
        "passed",
        f"H ({UUID}), not slowed down, no other processes",
        "",
    )
    assert checks.board(UUID, None, "", ())[:2] == (
        "failed",
        f"NVIDIA's management library (NVML) shows no board {UUID}",
    )
    assert checks.board(UUID, "H", "it is hot", ("x (1)",))[:2] == ("failed", "H is slowed down: it is hot")
    assert checks.board(UUID, "H", "", ("x (1)",))[:2] == ("warned", "H is also used by x (1)")
    assert checks.board("", None, "", ()).state == "skipped"


def test_times_of_a_processor_only_warn() -> None:
    assert checks.on_a_processor(Judged("failed", "a", "b")) == ("warned", "a", "b")
    assert checks.on_a_processor(Judged("passed", "a")) == ("passed", "a", "")


# ---- a simulated device


@dataclass
class Card(SimulatedGauge):
    """The simulated board as the management library shows it."""

    name: str = "Simulated 1"
    uuid: str = UUID
    processes: tuple[OtherProcess, ...] = ()

    def others(self) -> Sequence[OtherProcess]:
        return self.processes

    def energy_j(self) -> float | None:
        return None


@dataclass
class Rig:
    """A simulated device, a framework on it, and the self-test of both."""

    device: SimulatedDevice = field(default_factory=lambda: SimulatedDevice(cache_bytes=CACHE))
    identity: Identity | None = field(default_factory=lambda: Identity(UUID, ""))
    found: bool = True
    offset: float = 0.0
    fatal: bool = False
    at: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.queue = self.device.queue()
        self.card = Card(self.device)
        self.backend = SimulatedBackend(self)

    @property
    def subject(self) -> Subject:
        return Subject(self.backend, QUICK, self.at.append, find=lambda *_: self.card if self.found else None)

    def judge(self, name: str) -> Judged:
        check: Check = checks_of(self.backend)[name]
        found, self.lost = judged(check, self.subject)
        return found

    def product(self, problem: Problem, a: Any, b: Any) -> Call:
        kernel = self.device.kernel(f"product {a.shape}", cold=50e-6, hot=20e-6, nbytes=1024)

        def call() -> Tensor:
            kernel()
            if self.fatal:
                raise RuntimeError("CUDA error: an illegal memory access was encountered")
            left = a.swapaxes(-1, -2) if getattr(problem.op, "trans_a", False) else a
            right = b.swapaxes(-1, -2) if getattr(problem.op, "trans_b", False) else b
            return left @ right + np.asarray(self.offset, a.dtype)

        return call

    def copy(self, problem: Problem, a: Any) -> Call:
        kernel = self.device.kernel("copy", cold=40e-6, hot=15e-6, nbytes=a.nbytes * 2)

        def call() -> Tensor:
            kernel()
            return a.copy()

        return call


class SimulatedBackend(FakeBackend):
    """Computes with numpy, and takes the simulated device's time for it."""

    def __init__(self, rig: Rig) -> None:
        super().__init__("cuda:0", 1)
        self._rig = rig

    def implementations(self) -> tuple[Implementation, ...]:  # type: ignore[override]
        return (
            Implementation("matmul", "library", ("forward",), ("float32", "float64"), self._rig.product),
            Implementation("copy", "library", ("forward",), ("float32",), self._rig.copy),
        )

    def clock(self) -> Clock:
        return EventClock(self._rig.queue)

    def identity(self) -> Identity | None:
        return self._rig.identity


def test_a_sound_device_passes_every_check_that_can_be_made() -> None:
    rig = Rig()
    states = {name: rig.judge(name).state for name in checks_of(rig.backend)}
    assert states == {
        "answers: library": "passed",
        "event floor": "passed",
        "events and host": "passed",
        "events and profiler": "skipped",
        "larger is faster": "passed",
        "bandwidth": "skipped",
        "cache flush": "passed",
        "graph": "passed",
        "board": "passed",
    }
    assert rig.device.deadlocks == 0


def test_every_answer_is_compared_and_named_before_it_runs() -> None:
    rig = Rig()
    assert rig.judge("answers: library").detail == "5 right"
    assert rig.at[0] == "matmul 37×29×53 float32 forward"


def test_the_times_after_a_flush_hold_neither_the_launch_nor_the_marks() -> None:
    rig = Rig(SimulatedDevice(cache_bytes=CACHE, event=(6e-6,)))
    assert rig.judge("cache flush").detail == "a copy takes 40.0 µs after a flush, 15.0 µs after itself"


def test_wrong_answers_are_found() -> None:
    found = Rig(offset=1.0).judge("answers: library")
    assert found.state == "failed"
    assert found.detail.startswith("4 wrong, 1 right: matmul 37×29×53 float32 forward: output c is ")


def test_a_lost_device_ends_the_checks() -> None:
    rig = Rig(fatal=True)
    found = rig.judge("answers: library")
    assert found.state == "failed"
    assert "an illegal memory access" in found.detail
    assert rig.lost
    told: list[dict[str, Any]] = []
    child.examine(rig.backend, "quick", lambda **line: told.append(line))
    assert told[-1]["end"] == "answers: library"


def test_a_flush_without_effect_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SimulatedQueue, "flush", lambda queue: None)
    found = Rig().judge("cache flush")
    assert found.state == "failed"
    assert found.detail.startswith("a copy takes 15.0 µs after a flush, 15.0 µs after itself")


def test_events_that_show_half_the_time_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    elapsed = SimulatedQueue.elapsed
    monkeypatch.setattr(SimulatedQueue, "elapsed", lambda *marks: elapsed(*marks) / 2)
    found = Rig().judge("events and host")
    assert found.state == "failed"
    assert found.detail.endswith("by the host's clock: more than 5% apart")


@pytest.mark.parametrize(("factor", "state"), [(1.0, "passed"), (2.0, "failed")])
def test_a_frameworks_profiler_is_asked(factor: float, state: str) -> None:
    rig = Rig()
    asked: list[int] = []

    def kernel_seconds(call: Call, calls: int) -> float:
        asked.append(calls)
        return factor * calls * 20e-6

    rig.backend.kernel_seconds = kernel_seconds  # type: ignore[method-assign]
    assert rig.judge("events and profiler").state == state
    assert asked[0] * 20e-6 == pytest.approx(QUICK.batch, rel=0.01)


def test_a_framework_whose_work_goes_to_another_stream_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    elsewhere = rig.device.kernel("elsewhere", cold=20e-6, hot=20e-6, side_queue=True)
    monkeypatch.setattr(rig, "product", lambda *_: elsewhere)
    assert rig.judge("events and host")[:2] == (
        "failed",
        "the marks around a plain product are not believed (work on another stream: host time taken)",
    )


def test_plain_loops_need_not_be_faster_on_larger_products() -> None:
    rig = Rig()
    naive = Implementation("matmul", "naive", ("forward",), ("float32",), rig.product)
    rig.backend.implementations = lambda: (naive,)  # type: ignore[method-assign]
    assert rig.judge("larger is faster")[:2] == (
        "skipped",
        "fake multiplies in plain loops, which slow down where the cache ends",
    )


def test_a_slow_pair_of_marks_is_found() -> None:
    assert Rig(SimulatedDevice(cache_bytes=CACHE, event=(50e-6,))).judge("event floor").state == "failed"


def test_a_device_without_graphs_is_not_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    monkeypatch.setattr(
        rig, "product", lambda *_: rig.device.kernel("reads back", cold=1e-4, hot=1e-4, synchronises=True)
    )
    assert rig.judge("graph") == (
        "skipped",
        "a graph cannot hold a call that makes the host wait for the device",
        "",
    )


def test_a_hot_board_is_found() -> None:
    rig = Rig(
        SimulatedDevice(
            cache_bytes=CACHE, slowdowns=(Slowdown(0.0, 1e9, 0.5, ("HW thermal slowdown",), 91.0),)
        )
    )
    found = rig.judge("board")
    assert found.state == "failed"
    assert found.detail.startswith("Simulated 1 is slowed down: ")
    assert "HW thermal slowdown" in found.detail


def test_other_processes_on_the_board_are_named() -> None:
    rig = Rig()
    rig.card.processes = (OtherProcess(7, "train", None), OtherProcess(8, "", 10))
    assert rig.judge("board")[:2] == ("warned", "Simulated 1 is also used by train (7); a process (8)")


@pytest.mark.parametrize(
    ("identity", "state"),
    [(None, "skipped"), (Identity("", "0000:01:00.0"), "skipped"), (Identity(UUID), "failed")],
)
def test_a_board_that_is_not_found_is_a_fault_only_where_it_must_be(
    identity: Identity | None, state: str
) -> None:
    assert Rig(identity=identity, found=False).judge("board").state == state


def test_bandwidth_is_compared_with_the_datasheet() -> None:
    rig = Rig()
    rig.card.name = "NVIDIA A100-SXM4-40GB"
    found = rig.judge("bandwidth")
    assert found.state == "failed"
    assert found.detail.startswith("a copy moves 209 GB/s, 13% of the 1555 GB/s that ")


# ---- processes


def follow(code: str, seconds: float = 30.0) -> list[tuple[str, str, str]]:
    """Follow a made-up process that tells what the code has it tell."""
    tell = "import json, os, sys, time\ndef tell(**line): print(json.dumps(line), flush=True)\n"
    found = parent.follow("fake", [sys.executable, "-c", tell + code], seconds, lambda *_: None)
    return [(one.check, one.state, one.detail) for one in found.findings]


ENDED = "tell(begin='a'); tell(end='a', state='passed', detail='fine', advice='')\n"


def test_a_check_that_hangs_is_named_and_killed() -> None:
    code = "tell(checks=['a', 'b', 'c'])\n" + ENDED + "tell(begin='b'); tell(at='matmul'); time.sleep(600)"
    assert follow(code, 3) == [
        ("a", "passed", "fine"),
        ("b", "failed", "did not end within 3 s and was killed at matmul"),
        ("c", "skipped", "not reached: the process ended before"),
    ]


def test_a_process_that_hangs_when_it_ends_is_killed_and_said_so() -> None:
    assert follow("tell(checks=['a'])\n" + ENDED + "time.sleep(600)", 2) == [
        ("a", "passed", "fine"),
        ("end", "failed", "did not end within 2 s and was killed"),
    ]


def test_a_crash_is_blamed_on_its_check_with_the_last_words() -> None:
    code = (
        "tell(checks=['a', 'b'])\n" + ENDED + "tell(begin='b'); print('boom', file=sys.stderr); os._exit(3)"
    )
    assert follow(code)[1] == ("b", "failed", "the process ended with status 3: boom")


def test_a_crash_before_the_first_check_is_one_of_the_start() -> None:
    assert follow("os._exit(4)") == [("start", "failed", "the process ended with status 4")]


def test_a_device_lost_in_a_check_is_blamed_once() -> None:
    code = "tell(checks=['a', 'b']); tell(begin='a'); tell(end='a', state='failed', detail='lost', advice='')"
    assert follow(code) == [
        ("a", "failed", "lost"),
        ("b", "skipped", "not reached: the process ended before"),
    ]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[dict[str, Any]]]:
    """Run the child in this process, and return its lines."""
    monkeypatch.setattr(signal, "alarm", lambda _: 0)

    def main(name: str, device: str, **specs: BackendSpec) -> list[dict[str, Any]]:
        stream = io.StringIO()
        monkeypatch.setattr(child, "_own_stdout", lambda: stream)
        monkeypatch.setattr(child, "backends", lambda: {**catalogue(), **specs})
        child.main(name, device, "quick")
        return [json.loads(line) for line in stream.getvalue().splitlines()]

    return main


def test_a_framework_that_is_missing_is_skipped_with_the_command(told: Any) -> None:
    (line,) = told("absent", "cuda:0", absent=ABSENT)
    assert (line["absent"], line["advice"]) == ("skipped", "pip install dlbench-absent-framework")
    assert line["detail"].startswith("dlbench_absent_framework cannot be imported (No module named")


def test_a_gpu_that_is_missing_is_a_failure_and_another_device_is_not(told: Any) -> None:
    (cuda,), (other,) = told("torch", "cuda:99"), told("torch", "sparc:0")
    assert (cuda["absent"], other["absent"]) == ("failed", "skipped")
    assert other["detail"].endswith("not on sparc:0")


def test_a_backend_that_knows_no_gpus_is_not_to_blame_for_computing_on_none(told: Any) -> None:
    assert told("fake", "cuda:0", fake=SPEC) == [
        {"absent": "skipped", "detail": "fake computes on cpu here, not on cuda:0", "advice": ""}
    ]


def test_a_processor_is_checked_end_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parent, "backends", lambda: {"numpy": catalogue()["numpy"]})
    begun: list[str] = []
    report = run("cpu", 120, lambda _, check: begun.append(check), effort="quick")
    assert begun == [finding.check for finding in report.findings]
    assert {
        finding.check: finding.state for finding in report.findings if finding.check.startswith("answers")
    } == {f"answers: {variant}": "passed" for variant in catalogue()["numpy"].variants}
    assert begun[-2:] == ["larger is faster", "cache flush"]
    assert report.model
    assert report.exit_status == 0  # how fast a processor is only warns


def test_a_device_that_is_not_there_is_a_line_for_each_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        parent, "backends", lambda: {name: catalogue()[name] for name in ("numba", "numpy", "torch")}
    )
    report = run("cuda:99", 120, effort="quick")
    assert [(finding.backend, finding.state) for finding in report.findings] == [("torch", "failed")]
    assert report.exit_status == 1


# ---- the report


def printed(report: Report) -> str:
    console = Console(file=io.StringIO(), width=100)
    print_report(console, report)
    assert isinstance(console.file, io.StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_a_report_has_a_line_for_each_check_and_what_to_do() -> None:
    report = Report(
        "cuda:0",
        "H100",
        (
            Finding("torch", "graph", "passed", "fine"),
            Finding("torch", "board", "warned", "also used by x", "end x"),
            Finding("cupy", "cache flush", "failed", "no effect", "do not"),
            Finding("cupy", "bandwidth", "skipped", "no datasheet"),
        ),
    )
    assert printed(report) == (
        "   backend  check        what was found\n"
        "✓  torch    graph        fine\n"
        "!  torch    board        also used by x\n"
        "                         → end x\n"
        "✗  cupy     cache flush  no effect\n"
        "                         → do not\n"
        "\N{EN DASH}  cupy     bandwidth    no datasheet\n"
        "2 of 3 checks passed on cuda:0 (H100), 1 with a warning, 1 skipped"
    )
    assert report.exit_status == 1


def test_markup_and_control_characters_are_printed_as_they_are() -> None:
    shown = printed(Report("cpu", "[b]", (Finding("[x]", "[y]", "failed", "[red]a\x1b[2J", "[/z]"),)))
    assert shown == (
        "   backend  check  what was found\n"
        "✗  [x]      [y]    [red]a\N{REPLACEMENT CHARACTER}[2J\n"
        "                   → [/z]\n"
        "0 of 1 checks passed on cpu ([b])"
    )


def test_nothing_that_ran_is_no_success() -> None:
    nothing = Report("cpu", "", (Finding("a", "installed", "skipped", "no"),))
    assert (nothing.exit_status, nothing.summary) == (1, "nothing checked on cpu, 1 skipped")
    assert Report("cpu", "", (Finding("a", "graph", "passed", "yes"),)).exit_status == 0
