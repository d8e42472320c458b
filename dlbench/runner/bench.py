"""What happens inside a worker: prepare cases and take samples of them."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlbench.backends.backend import Backend, Implementation
from dlbench.devices import cpu
from dlbench.errors import UnsupportedError
from dlbench.ops.dtypes import DTYPES
from dlbench.ops.problem import Problem
from dlbench.plan.case import Case
from dlbench.plan.estimate import memory
from dlbench.runner.memory import peak_of, return_free_memory
from dlbench.runner.protocol import (
    Assignment,
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
from dlbench.runner.verify import Verifier, WrongAnswerError
from dlbench.timing.clock import Call, Clock
from dlbench.timing.flush import CacheFlush
from dlbench.timing.quiet import settle
from dlbench.timing.sampling import Batch, Sample, calibrate, cold_samples, hot_samples, warm_up
from dlbench.units import format_bytes


@dataclass(slots=True)
class _Given:
    """A problem's tensors and right answer, shared by the variants of the problem."""

    tensors: list[Any]
    verifier: Verifier


@dataclass(slots=True)
class _Ready:
    """A prepared case."""

    case: Case
    call: Call
    batch: Batch


@dataclass
class Bench:
    """One backend on one device, holding the cases of the problem that is being sampled."""

    backend: Backend
    assignment: Assignment
    settle: Callable[[Clock], None] = settle
    _given: dict[str, _Given] = field(default_factory=dict)
    _ready: dict[str, _Ready] = field(default_factory=dict)
    _flush: CacheFlush | None = None

    def serve(self, request: Request) -> Reply:
        """Answer one request; whatever the user's or the framework's code raises becomes a Failed."""
        try:
            match request:
                case Prepare():
                    return self._prepare(request)
                case Turn():
                    return self._turn(request)
                case Settle():
                    self.settle(self.backend.clock())
                    return Done()
                case Release():
                    return self._release()
                case _:
                    return Failed("failed", f"not a request: {request!r}")
        except Exception as error:
            return failure(error, self.backend)

    def _prepare(self, request: Prepare) -> Reply:
        case = request.case
        implementation = self.backend.find(case.problem, case.variant.name)
        _refuse_what_cannot_fit(case.problem)
        try:
            ready, prepared = self._made_ready(request, implementation)
        except Exception:
            self._given.pop(
                case.problem.key, None
            )  # it may have changed the inputs, which the next variant shares
            raise
        self._ready[case.key] = ready
        return prepared

    def _made_ready(self, request: Prepare, implementation: Implementation) -> tuple[_Ready, Prepared]:
        """Return the verified, warm and calibrated case, and what the runner is told of it."""
        case = request.case
        given = self._given_for(case.problem)
        clock = self.backend.clock()
        with self.backend.activate(case.variant.name):
            call = implementation.prepare(case.problem, *given.tensors)
            start = clock.now()
            error = given.verifier.check(self.backend, given.tensors, call)
            warm_up(clock, call, request.warm_up - (clock.now() - start))
            held = (
                peak_memory(implementation, case.problem, given.tensors) if request.measure_memory else None
            )
            batch = Batch(1, 0.0) if case.cache == "cold" else calibrate(clock, call, self.assignment.minimum)
        return _Ready(case, call, batch), Prepared(batch.calls, error, held)

    def _given_for(self, problem: Problem) -> _Given:
        """Return the problem's tensors and right answer, made once for all its variants."""
        if problem.key not in self._given:
            inputs = problem.inputs(self.assignment.seed)
            tensors = [self.backend.tensor(values, problem.dtype) for values in inputs.values()]
            self._given[problem.key] = _Given(tensors, Verifier(problem, inputs))
        return self._given[problem.key]

    def _turn(self, turn: Turn) -> Reply:
        ready = self._ready[turn.key]
        clock = self.backend.clock()
        stolen, busy, start = cpu.steal(), time.process_time(), time.perf_counter()
        with self.backend.activate(ready.case.variant.name):
            samples = self._samples(clock, ready, turn)
        wall = time.perf_counter() - start
        conditions = {
            "switches": sum(sample.switches for sample in samples),
            "cpu_share": round((time.process_time() - busy) / wall, 3) if wall > 0 else 0.0,
            "steal": round(cpu.steal() - stolen, 3),
            "load": round(cpu.load(), 2),
        }
        disturbed = sum(sample.switches > 0 for sample in samples)
        return Sampled(tuple(sample.seconds for sample in samples), disturbed, conditions)

    def _samples(self, clock: Clock, ready: _Ready, turn: Turn) -> Sequence[Sample]:
        if ready.case.cache == "hot":
            return hot_samples(clock, ready.call, ready.batch, turn.seconds, turn.at_least)
        if self._flush is None:
            self._flush = CacheFlush(self.assignment.cache_bytes, self.assignment.threads)
        return cold_samples(clock, ready.call, self._flush, turn.seconds, turn.at_least)

    def _release(self) -> Reply:
        self._ready.clear()
        self._given.clear()
        return_free_memory()
        return Done()


def _refuse_what_cannot_fit(problem: Problem) -> None:
    """Raise MemoryError before the machine starts to swap or kill."""
    needed, free = memory(problem), cpu.available_memory()
    if needed > free:
        raise MemoryError(
            f"needs about {format_bytes(needed)} with its float64 reference, {format_bytes(free)} are free; "
            "measure a smaller problem"
        )


def peak_memory(implementation: Implementation, problem: Problem, tensors: Sequence[Any]) -> int | None:
    """Return the most bytes held at once: inputs, outputs and workspace; None where it cannot be told.

    The implementation has run before, so that code and tables loaded by a first call are not counted.
    """
    return_free_memory()  # or the call would grow into what earlier cases have freed
    workspace = peak_of(lambda: implementation.prepare(problem, *tensors)())
    if workspace is None:
        return None
    itemsize = DTYPES[problem.dtype].itemsize
    return workspace + itemsize * sum(math.prod(s) for s in problem.op.inputs(problem.direction).values())


def failure(error: Exception, backend: Backend) -> Failed:
    """Return the verdict and the reason for an error that a case raised."""
    if isinstance(error, UnsupportedError):
        return Failed("unsupported", str(error))
    if isinstance(error, WrongAnswerError):
        return Failed("incorrect", str(error))
    if backend.is_out_of_memory(error):
        return Failed("out_of_memory", f"{first_line(error)}")
    return Failed("failed", f"{type(error).__name__}: {first_line(error)}{_place(error)}")


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__


def _place(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
