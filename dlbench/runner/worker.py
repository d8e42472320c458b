"""One process per backend and device: started fresh, talked to over a pipe, killed when it hangs."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from hashlib import sha256
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Protocol

from platformdirs import user_cache_path

from dlbench.runner.interpreter import foreign_path
from dlbench.runner.protocol import Assignment, Failed, Reply, Request, Stop

START_TIMEOUT = 120.0
"""Importing a framework from a cold disk takes tens of seconds; more means that it hangs."""
STOP_GRACE = 5.0
DEVICE_ORDER = "CUDA_DEVICE_ORDER"
"""By PCI address, as the driver's management library orders them; CUDA itself would put the fastest first."""
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


class Worker(Protocol):
    """Somebody who serves requests for one backend on one device; tests put one in this process."""

    def ready(self) -> Reply:
        """Wait until it can serve and return Ready, or Failed with the reason."""

    def ask(self, request: Request, timeout: float) -> Reply:
        """Return the answer; a worker that is lost or too late answers Failed with `lost`."""

    def close(self) -> None:
        """End it."""


class WorkerProcess:
    """A worker in a fresh interpreter."""

    def __init__(self, assignment: Assignment) -> None:
        """Start the process; importing its framework goes on beside."""
        ours, theirs = Pipe()
        self._pipe: Connection[Any, Any] = ours
        self._started = time.monotonic()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [
            assignment.python or sys.executable,
            "-P",
            "-m",
            "dlbench.runner.serve",
            str(theirs.fileno()),
            str(os.getpid()),
        ]
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            env=worker_environment(assignment.threads, assignment.python),
        )
        theirs.close()
        with contextlib.suppress(OSError):
            self._pipe.send(assignment)

    def ready(self) -> Reply:
        """Wait for the framework's import and return Ready, or Failed with the reason."""
        return self._receive(max(1.0, START_TIMEOUT - (time.monotonic() - self._started)), "while it started")

    def ask(self, request: Request, timeout: float) -> Reply:
        """Return the answer; a process that is lost or too late answers Failed with `lost`."""
        try:
            self._pipe.send(request)
        except OSError:
            return self._lost()
        return self._receive(timeout, "")

    def _receive(self, timeout: float, when: str) -> Reply:
        try:
            if not self._pipe.poll(timeout):
                self.kill()
                reason = f"no answer within {timeout:.3g} s{' ' if when else ''}{when}; raise measure.timeout"
                return Failed("timeout", reason, lost=True)
            reply: Reply = self._pipe.recv()
        except (EOFError, OSError):
            return self._lost()
        return reply

    def _lost(self) -> Failed:
        try:
            status = self._process.wait(STOP_GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            return Failed(
                "crashed", "the worker process closed its pipe without ending; it was killed", lost=True
            )
        if status == -signal.SIGKILL:
            reason = "the system killed the worker process (SIGKILL): most likely memory ran out"
            return Failed("out_of_memory", reason, lost=True)
        return Failed(
            "crashed", f"the worker process ended with {_status(status)}{self._last_words()}", lost=True
        )

    def _last_words(self) -> str:
        """Return the last line that the process wrote, which is where a native library says why it aborted."""
        self._errors.seek(0)
        lines = [
            line.strip() for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()
        ]
        telling = [line for line in lines if "Fatal Python error" in line] or lines[-1:]
        return f": {telling[0][:200]}" if telling else ""

    def kill(self) -> None:
        """End the process at once."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ask the process to end, and kill it if it does not."""
        with contextlib.suppress(OSError):
            self._pipe.send(Stop())
        self._pipe.close()
        try:
            self._process.wait(STOP_GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
        self._errors.close()


def _status(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"{signal.Signals(-status).name}"
    return f"signal {-status}"


def worker_environment(threads: int, python: str = "") -> Mapping[str, str]:
    """Return the environment variables of a worker: its threads, its import path and numba's shared compile cache."""
    of = (
        f"-{sha256(python.encode()).hexdigest()[:12]}" if python else ""
    )  # another numba would discard our own files
    cache = user_cache_path("dlbench") / f"numba{of}"
    settings = dict.fromkeys(THREAD_VARIABLES, str(threads)) | {
        "PYTHONPATH": foreign_path() if python else _own_path(),
        "PYTHONFAULTHANDLER": "1",
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR", str(cache)),
    }
    return {DEVICE_ORDER: "PCI_BUS_ID", **os.environ, **settings}


def _own_path() -> str:
    return os.pathsep.join(path for path in sys.path if path and Path(path).exists())
