"""Worker processes on the card: what they weigh, what they survive, and what a run makes of what they do not."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gpu_card import CARD, SPECS, backend_of

from dlbench.ops.conv import Conv2d
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Op
from dlbench.ops.problem import Problem
from dlbench.plan.case import Case, Variant
from dlbench.runner.protocol import Assignment, Failed, Prepare, Prepared, Ready, Reply
from dlbench.runner.worker import WorkerProcess

pytestmark = pytest.mark.gpu

PLUGIN = Path(__file__).parent / "plugin"
FAULTY = {"torch": "faulty", "cupy": "faulty_cupy"}
TIMEOUT = 120.0
HANG_TIMEOUT = 10.0
SIDE = 1024
RIGHT = {"ok", "unconverged", "noisy", "throttled"}
CONFIG = """
name: faults
variants: [faulty:right, faulty:poisons]
devices: cuda:0
measure: {budget: 2m, precision: 10%, rounds: {min: 2, max: 2}}
sweeps: [{op: matmul, params: {m: 64, n: 64, k: 64}}]
"""

Start = Callable[[str], WorkerProcess]


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Iterator[Start]:
    """Starts workers that know the faulty backends, and ends them."""
    monkeypatch.setattr(sys, "path", [str(PLUGIN), *sys.path])
    started: list[WorkerProcess] = []

    def worker(backend: str) -> WorkerProcess:
        process = WorkerProcess(Assignment(backend, CARD, threads=2, seed=0, minimum=1e-3, cache_bytes=2**25))
        started.append(process)
        assert isinstance(process.ready(), Ready)
        return process

    yield worker
    for process in started:
        process.close()


def case(backend: str, variant: str, op: Op | None = None) -> Case:
    return Case(Problem(op or Matmul(m=64, n=64, k=64)), Variant(backend, variant), CARD)


def failed(reply: Reply) -> Failed:
    assert isinstance(reply, Failed), reply
    return reply


@pytest.mark.parametrize("name", SPECS)
def test_the_peak_of_memory_holds_inputs_and_output(start: Start, name: str) -> None:
    backend_of(name)
    product = case(name, "library", Matmul(m=SIDE, n=SIDE, k=SIDE))
    prepared = start(name).ask(Prepare(product, 0.01), TIMEOUT)
    assert isinstance(prepared, Prepared), prepared
    assert prepared.peak_memory is not None
    assert prepared.peak_memory >= 3 * 4 * SIDE**2


@pytest.mark.parametrize("name", SPECS)
def test_a_problem_that_the_card_cannot_hold_is_refused(start: Start, name: str) -> None:
    backend_of(name)
    product = case(name, "library", Matmul(m=2**20, n=2**20, k=2**20))
    assert failed(start(name).ask(Prepare(product, 0.01), TIMEOUT)).verdict == "out_of_memory"


@pytest.mark.parametrize("name", SPECS)
def test_a_full_card_is_out_of_memory_and_its_worker_goes_on(start: Start, name: str) -> None:
    backend_of(name)
    worker = start(FAULTY[name])
    reply = failed(worker.ask(Prepare(case(FAULTY[name], "hogs"), 0.01), TIMEOUT))
    assert (reply.verdict, reply.lost) == ("out_of_memory", False)
    after = worker.ask(Prepare(case(FAULTY[name], "right"), 0.01), TIMEOUT)
    assert isinstance(after, Prepared), after


@pytest.mark.parametrize("name", SPECS)
def test_a_poisoned_context_is_lost_and_a_new_worker_computes(start: Start, name: str) -> None:
    backend_of(name)
    worker = start(FAULTY[name])
    reply = failed(worker.ask(Prepare(case(FAULTY[name], "poisons"), 0.01), TIMEOUT))
    assert (reply.verdict, reply.lost) == ("crashed", True)
    assert reply.reason.endswith("the device's context is lost with it, and the worker was replaced")
    after = start(FAULTY[name]).ask(Prepare(case(FAULTY[name], "right"), 0.01), TIMEOUT)
    assert isinstance(after, Prepared), after


@pytest.mark.parametrize("name", SPECS)
def test_a_kernel_that_never_ends_is_a_timeout_and_a_new_worker_computes(start: Start, name: str) -> None:
    backend_of(name)
    worker = start(FAULTY[name])
    reply = worker.ask(Prepare(case(FAULTY[name], "hangs"), 0.01), HANG_TIMEOUT)
    assert reply == Failed("timeout", "no answer within 10 s; raise measure.timeout", lost=True)
    after = start(FAULTY[name]).ask(Prepare(case(FAULTY[name], "right"), 0.01), TIMEOUT)
    assert isinstance(after, Prepared), after


@pytest.mark.parametrize(
    "op", [Matmul(m=256, n=256, k=256), Conv2d(n=4, c=64, h=16, w=16, k=64, r=3, s=3, pad=1)], ids=str
)
def test_all_plans_are_listed_the_fastest_first(start: Start, op: Op) -> None:
    backend_of("cupy")
    every = replace(case("cupy", "cudnn", op), mode="all-plans")
    reply = start("cupy").ask(Prepare(every, 0.01), TIMEOUT)
    if isinstance(reply, Failed) and reply.verdict == "unsupported":
        pytest.skip(reply.reason)
    assert isinstance(reply, Prepared), reply
    plans = reply.details["plans"]
    times = [plan["time_us"] for plan in plans if "time_us" in plan]
    assert times
    assert times == sorted(times)
    assert times[0] > 0
    assert all(plan["reason"] for plan in plans if "time_us" not in plan)


def dlbench(tmp_path: Path, *arguments: str, faulty: bool = False) -> subprocess.CompletedProcess[str]:
    """Run the command in a store of its own, with the faulty backends only where they are wanted."""
    environment = {**os.environ, "DLBENCH_STORE": str(tmp_path / "runs.db")}
    if faulty:
        environment["PYTHONPATH"] = os.pathsep.join([str(PLUGIN), *filter(None, sys.path)])
    command = [sys.executable, "-m", "dlbench", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def rows(tmp_path: Path, *arguments: str, device: str = CARD, faulty: bool = False) -> list[dict[str, Any]]:
    """Run a config on the card, or on what else is named, and return its rows."""
    out = tmp_path / "run.json"
    options = ("--device", device, "--no-peaks", "-q", "-o", str(out))
    done = dlbench(tmp_path, "run", *arguments, *options, faulty=faulty)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(out.read_text())["rows"]
    return found


def test_the_first_look_gives_right_rows_only(tmp_path: Path) -> None:
    found = rows(tmp_path, "quick", "--only", "torch:*", "--budget", "2m", "--precision", "5%")
    assert found
    assert [row for row in found if row["verdict"] not in RIGHT] == []
    assert all(row["time_us"] > 0 for row in found)


@pytest.mark.parametrize("options", [(), ("--parallel",)], ids=["in turn", "in parallel"])
def test_every_device_is_measured_in_one_run(tmp_path: Path, options: tuple[str, ...]) -> None:
    found = rows(tmp_path, "quick", "--only", "torch:library", *options, device="all")
    counts = Counter(row["device"] for row in found)
    assert counts.keys() >= {"cpu", CARD}
    assert len(set(counts.values())) == 1, counts
    here = [row for row in found if row["device"] in {"cpu", CARD}]  # torch may lack what else there is
    assert [row for row in here if row["verdict"] not in RIGHT] == []


def test_a_run_goes_on_after_a_poisoned_context(tmp_path: Path) -> None:
    config = tmp_path / "faults.yaml"
    config.write_text(CONFIG)
    found = {row["variant"]: row["verdict"] for row in rows(tmp_path, str(config), faulty=True)}
    poisoned = {variant: verdict for variant, verdict in found.items() if "poisons" in variant}
    others = [verdict for variant, verdict in found.items() if "right" in variant]
    assert list(poisoned.values()) == ["crashed"]
    assert len(others) == 1
    assert set(others) <= RIGHT


def test_the_selftest_passes(tmp_path: Path) -> None:
    done = dlbench(tmp_path, "selftest", "--device", CARD)
    assert done.returncode == 0, done.stdout + done.stderr
