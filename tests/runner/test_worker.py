"""Real worker processes: whatever a variant does costs its own case a verdict and nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace

import psutil
import pytest

from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.plan.case import Case, Variant
from dlbench.runner.protocol import (
    Assignment,
    Done,
    Failed,
    Prepare,
    Prepared,
    Ready,
    Release,
    Sampled,
    Turn,
)
from dlbench.runner.worker import WorkerProcess, worker_environment

TIMEOUT = 60.0


def assignment(backend: str = "fake", device: str = "cpu") -> Assignment:
    return Assignment(backend, device, threads=1, seed=0, minimum=1e-4, cache_bytes=2**20)


def case(variant: str, m: int = 8) -> Case:
    return Case(Problem(Matmul(m=m, n=8, k=8)), Variant("fake", variant), "cpu")


@pytest.fixture
def worker() -> Iterator[WorkerProcess]:
    process = WorkerProcess(assignment())
    assert process.ready() == Ready({"fake": "1.0"})
    yield process
    process.close()


def test_a_right_variant_is_prepared_sampled_and_released(worker: WorkerProcess) -> None:
    prepared = worker.ask(Prepare(case("right"), 0.01), TIMEOUT)
    assert isinstance(prepared, Prepared)
    assert prepared.calls > 1
    sampled = worker.ask(Turn(case("right").key, 0.01), TIMEOUT)
    assert isinstance(sampled, Sampled)
    assert len(sampled.seconds) >= 1
    assert all(0 < seconds < 1 for seconds in sampled.seconds)
    assert set(sampled.conditions) == {"switches", "cpu_share", "steal", "load"}
    assert worker.ask(Release(), TIMEOUT) == Done()


def test_a_wrong_variant_is_incorrect_and_its_worker_lives(worker: WorkerProcess) -> None:
    reply = worker.ask(Prepare(case("wrong"), 0.01), TIMEOUT)
    assert isinstance(reply, Failed)
    assert (reply.verdict, reply.lost) == ("incorrect", False)
    assert isinstance(worker.ask(Prepare(case("right"), 0.01), TIMEOUT), Prepared)


@pytest.mark.parametrize(
    ("variant", "verdict", "reason"),
    [
        ("raises", "failed", "RuntimeError: no kernel image [is] available (dlbench_fake.py:"),
        ("refuses", "unsupported", "only squares"),
        ("hogs", "out_of_memory", "Unable to allocate 2.00 GiB"),
        ("nonexistent", "unsupported", "fake does not compute matmul as `nonexistent`; it has crashes, "),
    ],
)
def test_an_error_becomes_a_verdict_and_its_worker_lives(
    worker: WorkerProcess, variant: str, verdict: str, reason: str
) -> None:
    reply = worker.ask(Prepare(case(variant), 0.01), TIMEOUT)
    assert isinstance(reply, Failed)
    assert (reply.verdict, reply.lost) == (verdict, False)
    assert reply.reason.startswith(reason)


def test_a_problem_larger_than_memory_is_refused_before_it_is_tried(worker: WorkerProcess) -> None:
    reply = worker.ask(Prepare(case("right", m=2**31 - 1), 0.01), TIMEOUT)
    assert isinstance(reply, Failed)
    assert reply.verdict == "out_of_memory"
    assert "with its float64 reference" in reply.reason


@pytest.mark.parametrize(
    ("variant", "verdict", "reason"),
    [
        (
            "crashes",
            "crashed",
            "the worker process ended with SIGSEGV: Fatal Python error: Segmentation fault",
        ),
        ("exits", "crashed", "the worker process ended with exit status 3: libfake: assertion failed"),
    ],
)
def test_a_lost_process_is_told_by_how_it_ended(
    worker: WorkerProcess, variant: str, verdict: str, reason: str
) -> None:
    assert worker.ask(Prepare(case(variant), 0.01), TIMEOUT) == Failed(verdict, reason, lost=True)  # type: ignore[arg-type]
    assert isinstance(worker.ask(Release(), TIMEOUT), Failed)


def test_a_process_that_hangs_is_killed_at_its_timeout(worker: WorkerProcess) -> None:
    start = time.monotonic()
    reply = worker.ask(Prepare(case("hangs"), 0.01), 0.5)
    assert reply == Failed("timeout", "no answer within 0.5 s; raise measure.timeout", lost=True)
    assert time.monotonic() - start < 10


def test_a_process_killed_from_outside_most_likely_ran_out_of_memory(worker: WorkerProcess) -> None:
    os.kill(worker._process.pid, signal.SIGKILL)
    reply = worker.ask(Prepare(case("right"), 0.01), TIMEOUT)
    assert isinstance(reply, Failed)
    assert (reply.verdict, reply.lost) == ("out_of_memory", True)


def test_a_missing_framework_is_unsupported_with_its_install_command() -> None:
    process = WorkerProcess(assignment("absent"))
    reply = process.ready()
    process.close()
    assert isinstance(reply, Failed)
    assert reply.verdict == "unsupported"
    assert reply.reason.endswith("pip install dlbench-absent-framework")


def test_a_device_that_the_backend_has_not_is_unsupported() -> None:
    process = WorkerProcess(assignment(device="cuda:0"))
    reply = process.ready()
    process.close()
    assert reply == Failed("unsupported", "fake computes on cpu here, not on cuda:0", lost=True)


def test_workers_share_one_thread_count_and_compile_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    settings = worker_environment(3)
    assert (
        settings["OMP_NUM_THREADS"] == settings["OPENBLAS_NUM_THREADS"] == settings["MKL_NUM_THREADS"] == "3"
    )
    assert settings["NUMBA_CACHE_DIR"].endswith("dlbench/numba")


ORPHAN = """
import os, sys
from dlbench.runner.worker import WorkerProcess
from dlbench.runner.protocol import Assignment
worker = WorkerProcess(Assignment("fake", "cpu", 1, 0, 1e-4, 2**20))
worker.ready()
print(worker._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_worker_does_not_outlive_a_dlbench_that_was_killed() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    script = subprocess.run(
        [sys.executable, "-c", ORPHAN], env=environment, capture_output=True, text=True, check=False
    )
    assert script.returncode == -signal.SIGKILL
    pid = int(script.stdout)
    deadline = time.monotonic() + 10
    while (
        psutil.pid_exists(pid)
        and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_worker_whose_device_was_poisoned_says_so_and_ends_itself(worker: WorkerProcess) -> None:
    reply = worker.ask(Prepare(case("poisons"), 0.01), TIMEOUT)
    assert reply == Failed(
        "crashed",
        "CUDA error: an illegal memory access was encountered; the device's context is lost with it, and the worker was "
        "replaced",
        lost=True,
    )
    assert worker._process.wait(TIMEOUT) == 0


def test_workers_number_gpus_as_the_drivers_library_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    assert worker_environment(1)["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "FASTEST_FIRST")
    assert worker_environment(1)["CUDA_DEVICE_ORDER"] == "FASTEST_FIRST"


def test_a_graph_on_a_processor_is_refused(worker: WorkerProcess) -> None:
    graph = replace(case("right"), launch="graph")
    reply = worker.ask(Prepare(graph, 0.01), TIMEOUT)
    assert reply == Failed(
        "unsupported", "launch: graph needs an accelerator; a processor has no graphs to replay"
    )


def test_a_mode_that_a_variant_has_not_is_refused(worker: WorkerProcess) -> None:
    reply = worker.ask(Prepare(replace(case("right"), mode="all-plans"), 0.01), TIMEOUT)
    assert reply == Failed("unsupported", "fake:right has no mode all-plans")


def test_a_layout_that_an_implementation_does_not_take_is_refused(worker: WorkerProcess) -> None:
    reply = worker.ask(Prepare(replace(case("right"), layout="NHWC"), 0.01), TIMEOUT)
    assert reply == Failed("unsupported", "fake:right has no layout NHWC")
