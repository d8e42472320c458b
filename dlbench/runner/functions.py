"""What happens inside a worker whose cases are functions of the user's own: run their loops and take samples of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from dlbench.backends.python.benchmark import Benchmark
from dlbench.backends.python.loop import Loop, LoopClock
from dlbench.backends.python.state import BenchmarkError, State
from dlbench.errors import UnsupportedError
from dlbench.ops.function import Function
from dlbench.plan.case import Case
from dlbench.plan.files import PythonFile
from dlbench.results.measurement import BYTES, COMPLEXITY, COUNTERS, FLOPS, ITEMS
from dlbench.runner.memory import peak_of, return_free_memory
from dlbench.runner.protocol import Assignment, Described, Failed, Prepare, Prepared, Reply
from dlbench.runner.reasons import described, first_line
from dlbench.runner.serving import Readied, Serving
from dlbench.runner.stand import HostStand, Timed
from dlbench.timing.clock import Call, Clock
from dlbench.timing.quiet import settle
from dlbench.timing.sampling import Batch, calibrate, warm_up

LONGEST_BATCH = 0.025
"""Seconds that a batch may last, pauses included, so that what counts of it fills a sample: one turn of a sitting."""


class LoopStand(HostStand):
    """A processor on which loops are timed whose pauses do not count, but take time."""

    def __init__(self, assignment: Assignment) -> None:
        """Take the shortest sample and the size of the last-level cache."""
        super().__init__(LoopClock(), assignment.minimum, assignment.cache_bytes, assignment.threads)
        self._wall = LoopClock(wall=True)

    def warm_up(self, call: Call, limit: float) -> None:
        """Iterate until the time of an iteration, pauses included, is steady, for at most so many seconds."""
        warm_up(self._wall, call, limit)

    def timed(self, call: Call, *, cold: bool) -> Timed:
        """Return the loop with a batch of which enough counts, but that lasts no longer than a turn with its pauses."""
        if cold:
            return Timed(call, Batch(1, 0.0), cold)
        batch = calibrate(self._wall, call, self.minimum)
        counted = self.clock.time(call, batch.calls)
        lacking = self.minimum / max(counted, self.clock.tick)
        longer = max(1, math.floor(min(lacking, LONGEST_BATCH / batch.seconds)))
        return Timed(call, Batch(batch.calls * longer, batch.seconds * longer), cold)


class FunctionBench(Serving):
    """The benchmarks of the user's files, those of the problem that is being sampled standing in their loops."""

    def __init__(
        self,
        assignment: Assignment,
        benchmarks: Mapping[str, Benchmark],
        files: tuple[PythonFile, ...] = (),
        settle: Callable[[Clock], None] = settle,
        printed: Callable[[], str] = str,
    ) -> None:
        """Take what it is for, the benchmarks by name, what else the files hold, and what their code prints."""
        super().__init__(LoopStand(assignment), settle, assignment.files, printed)
        self._benchmarks = benchmarks
        self._described = files
        self._loops: list[Loop] = []

    def _prepare(self, request: Prepare) -> Prepared:
        case, given = request.case, _function_of(request.case)
        benchmark = self._benchmarks.get(given.function)
        if benchmark is None:
            raise BenchmarkError(f"the file holds no benchmark `{given.function}` now")
        details: dict[str, Any] = {}
        held = None
        if request.weigh:  # once a run: what stands after the loop is seen at the function's end
            held = peak_of(lambda: details.update(rehearsed(benchmark, given)))
        loop = Loop(benchmark.function, given)
        self._loops.append(loop)
        loop()
        self._stand.warm_up(loop, request.warm_up)
        timed = self._stand.timed(loop, cold=case.cache == "cold")
        self._ready[case.key] = Readied(case, timed)
        return Prepared(timed.calls, None, held, details)

    def _release(self) -> None:
        """Let the loops end; what a function raises then was raised in its rehearsal, or depends on how often it looped."""
        for loop in self._loops:
            try:
                loop.finish()
            except BaseException:  # noqa: S112 - nobody waits for it any more
                continue
        self._loops.clear()
        return_free_memory()

    def _describe(self) -> Reply:
        return Described(self._described)

    def _failure(self, error: Exception) -> Failed:
        if isinstance(error, UnsupportedError):
            return Failed("unsupported", str(error))
        if isinstance(error, BenchmarkError):
            return Failed("failed", str(error))
        if isinstance(error, MemoryError):
            return Failed("out_of_memory", first_line(error))
        return Failed("failed", described(error, *self._files))


def rehearsed(benchmark: Benchmark, given: Function) -> dict[str, Any]:
    """Run a benchmark from its beginning to its end with one iteration, and return what it tells of it.

    Whatever it raises is raised. Raises BenchmarkError for a function that is not written as a benchmark.
    """
    loop = Loop(benchmark.function, given)
    loop()
    loop.finish()
    return told_by(loop.state) | ({COMPLEXITY: benchmark.complexity} if benchmark.complexity else {})


def told_by(state: State) -> dict[str, Any]:
    """Return what a state was told, as JSON-able values. Raises BenchmarkError for what is no number."""
    told: dict[str, Any] = {}
    for name, value in ((ITEMS, state.items), (FLOPS, state.flops), (BYTES, state.bytes)):
        if value is not None:
            told[name] = _number(f"state.{name}", value, least=0)
    counters = {
        str(name): _number(f'state.counter["{name}"]', value) for name, value in state.counter.items()
    }
    return told | ({COUNTERS: counters} if counters else {})


def _number(name: str, value: object, least: float = -math.inf) -> float:
    """Return the value as one of Python's own numbers; those of numpy and torch are asked for theirs."""
    item = getattr(value, "item", None)
    plain = item() if callable(item) else value
    if isinstance(plain, bool) or not isinstance(plain, int | float):
        raise BenchmarkError(f"{name} is {value!r}; a number is wanted")
    if not (math.isfinite(plain) and plain >= least):
        raise BenchmarkError(f"{name} is {plain}; a number is wanted{' from 0 on' if least == 0 else ''}")
    return plain


def _function_of(case: Case) -> Function:
    op = case.problem.op
    if not isinstance(op, Function):
        raise BenchmarkError(f"{op.name} is no function of a file")
    return op
