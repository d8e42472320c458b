"""Run a benchmark as far as its loop, and then batch by batch.

A benchmark's set-up stands before its loop, in the same function. Its thread waits in the loop between two batches, so that
the set-up is done once and not for each sample, and so that several benchmarks can stand ready and take turns. One
thread runs at a time: the other one waits for it, and takes nothing from it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

from dlbench.backends.python.state import BenchmarkError, State
from dlbench.ops.function import Function
from dlbench.timing.clock import Call, HostClock

Benchmarked = Callable[[State], Any]
_NS = 1e-9


@dataclass(frozen=True, slots=True)
class Passed:
    """The seconds of one batch: those that count, and those that have passed, pauses included."""

    counted: float
    wall: float


@dataclass(frozen=True, slots=True)
class _Ended:
    """The function has returned, or raised an error."""

    error: BaseException | None


class Loop:
    """A benchmark in a thread of its own. A call of it is one iteration."""

    def __init__(
        self, function: Benchmarked, given: Function, now: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        """Take the function and its arguments; it begins when the first batch is asked for."""
        self._function = function
        self._asked: SimpleQueue[int] = SimpleQueue()
        self._told: SimpleQueue[Passed | _Ended] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._ended: _Ended | None = None
        self.state = State(given.args, given.params, self._asked.get, self._tell, now)

    def __call__(self) -> None:
        """Make one iteration."""
        self.run(1)

    def run(self, iterations: int) -> Passed:
        """Make so many iterations, at least one, and return what they took.

        Whatever the function raises is raised. Raises BenchmarkError where the function ends without having made them.
        """
        if self._thread.ident is None:
            self._thread.start()
        if self._ended is None:
            self._asked.put(iterations)
            told = self._told.get()
            if isinstance(told, Passed):
                return told
            self._ended = told
        raise self._ended.error or BenchmarkError(self._why_it_ended())

    def finish(self) -> None:
        """Let the loop end, and what follows it. Whatever the function raises then is raised."""
        if self._thread.ident is None:
            return
        if self._ended is None:
            self._asked.put(0)
            told = self._told.get()
            self._ended = told if isinstance(told, _Ended) else _Ended(None)
        self._thread.join()
        if self._ended.error is not None:
            raise self._ended.error

    def _work(self) -> None:
        try:
            self._function(self.state)
        except BaseException as error:  # raised again where the batch was asked for; sys.exit as well
            self._told.put(_Ended(error))
        else:
            self._told.put(_Ended(None))

    def _tell(self, counted: int, wall: int) -> None:
        self._told.put(Passed(counted * _NS, wall * _NS))

    def _why_it_ended(self) -> str:
        if self.state.looped:
            return "leaves its loop before the end, by break or return: every iteration must be made"
        return "never loops: write `for _ in state:` around what is to be timed"


class LoopClock(HostClock):
    """Times loops: what counts of them, or with `wall` all that passes."""

    def __init__(self, *, wall: bool = False) -> None:
        """Take whether pauses count as well, as they do for whoever waits."""
        super().__init__()
        self._wall = wall

    def time(self, call: Call, calls: int) -> float:
        """Return the seconds of so many iterations of a Loop."""
        if not isinstance(call, Loop):
            raise TypeError(f"not a loop: {call!r}")
        passed = call.run(calls)
        return passed.wall if self._wall else passed.counted
