"""Answer requests inside a worker: what the bench of ops and that of the user's own functions have in common."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from dlbench.devices import cpu
from dlbench.plan.case import Case
from dlbench.results.measurement import PRINTED
from dlbench.runner.protocol import (
    Describe,
    Done,
    Failed,
    Prepare,
    Prepared,
    Release,
    Reply,
    Request,
    Sampled,
    Settle,
    Turn,
)
from dlbench.runner.reasons import described
from dlbench.runner.stand import HostStand, Stand, Timed
from dlbench.timing.clock import Clock


@dataclass(slots=True)
class Readied:
    """A prepared case."""

    case: Case
    timed: Timed


class Serving(ABC):
    """Prepares cases and takes samples of them, as it is asked."""

    def __init__(
        self,
        stand: Stand,
        settle: Callable[[Clock], None],
        files: tuple[str, ...] = (),
        printed: Callable[[], str] = str,
    ) -> None:
        """Take where calls are timed, how to wait for this process's threads to sleep, and the user's files.

        `printed` returns what was written to the standard output since it was asked last.
        """
        self._stand = stand
        self._wait = settle
        self._files = files
        self._printed = printed
        self._ready: dict[str, Readied] = {}

    def serve(self, request: Request) -> Reply:
        """Answer one request; whatever the user's or the framework's code raises becomes a Failed."""
        try:
            return self._answered(request)
        except SystemExit as error:
            return Failed("failed", described(error, *self._files))
        except Exception as error:
            return self._failure(error)

    def _answered(self, request: Request) -> Reply:
        match request:
            case Prepare():
                return self._noted(self._prepare(request))
            case Turn():
                return self._turn(request)
            case Settle():
                self._wait(self._stand.clock)
                return Done()
            case Release():
                self._ready.clear()
                self._release()
                return Done()
            case Describe():
                return self._describe()
            case _:
                return Failed("failed", f"not a request: {request!r}")

    def _noted(self, prepared: Prepared) -> Prepared:
        """Return it with what was printed meanwhile, which nobody would see otherwise."""
        text = self._printed()
        return replace(prepared, details={**prepared.details, PRINTED: text}) if text else prepared

    @abstractmethod
    def _prepare(self, request: Prepare) -> Prepared:
        """Make a case ready and keep it in `_ready`."""

    @abstractmethod
    def _release(self) -> None:
        """Free what the prepared cases held."""

    @abstractmethod
    def _failure(self, error: Exception) -> Failed:
        """Return the verdict and the reason for an error that a case raised."""

    def _describe(self) -> Reply:
        """Return what the user's files hold."""
        return Failed("failed", "this worker has no files to describe")

    def _active(self, case: Case) -> AbstractContextManager[None]:  # noqa: ARG002 - for overriding
        """Set what the case needs while it is called."""
        return nullcontext()

    def _turn(self, turn: Turn) -> Sampled:
        ready = self._ready[turn.key]
        stolen, busy, start = cpu.steal(), time.process_time(), time.perf_counter()
        with self._active(ready.case):
            taken = self._stand.take(ready.timed, turn.seconds, turn.at_least)
        wall = time.perf_counter() - start
        conditions: dict[str, Any] = {
            "switches": sum(sample.switches for sample in taken.samples),
            "cpu_share": round((time.process_time() - busy) / wall, 3) if wall > 0 else 0.0,
            "steal": round(cpu.steal() - stolen, 3),
            "load": round(cpu.load(), 2),
        }
        disturbed = sum(sample.switches > 0 for sample in taken.samples) if self._host else 0
        seconds = tuple(sample.seconds / ready.timed.replays for sample in taken.samples)
        return Sampled(seconds, disturbed, conditions | taken.conditions, taken.throttled)

    @property
    def _host(self) -> bool:
        """Whether the processor computes: only then does losing it disturb a sample."""
        return isinstance(self._stand, HostStand)
