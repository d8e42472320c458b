"""What happens inside a worker: prepare cases and take samples of them."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlbench.backends.backend import Backend, Implementation, tensors_of
from dlbench.devices import cpu, nvml
from dlbench.errors import UnsupportedError
from dlbench.ops.dtypes import Array
from dlbench.ops.problem import Problem
from dlbench.plan.case import GRAPH, Case
from dlbench.plan.estimate import memory
from dlbench.runner.accelerator import AcceleratorStand
from dlbench.runner.memory import return_free_memory
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
from dlbench.runner.stand import HostStand, Stand, Timed
from dlbench.runner.verify import Verifier, WrongAnswerError
from dlbench.timing.clock import Call, Clock
from dlbench.timing.event_clock import EventClock
from dlbench.timing.quiet import settle
from dlbench.units import format_bytes


@dataclass(slots=True)
class _Given:
    """A problem's tensors and right answer, shared by the variants of the problem; each layout has tensors of its own."""

    inputs: dict[str, Array]
    verifier: Verifier
    tensors: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(slots=True)
class _Ready:
    """A prepared case."""

    case: Case
    timed: Timed


@dataclass
class Bench:
    """One backend on one device, holding the cases of the problem that is being sampled."""

    backend: Backend
    assignment: Assignment
    settle: Callable[[Clock], None] = settle
    _given: dict[str, _Given] = field(default_factory=dict)
    _ready: dict[str, _Ready] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Choose the stand by the device."""
        self._stand = stand_for(self.backend, self.assignment)

    def serve(self, request: Request) -> Reply:
        """Answer one request; whatever the user's or the framework's code raises becomes a Failed."""
        try:
            match request:
                case Prepare():
                    return self._prepare(request)
                case Turn():
                    return self._turn(request)
                case Settle():
                    self.settle(self._stand.clock)
                    return Done()
                case Release():
                    return self._release()
                case _:
                    return Failed("failed", f"not a request: {request!r}")
        except Exception as error:
            return failure(error, self.backend)

    def _prepare(self, request: Prepare) -> Reply:
        case = request.case
        mode = "" if case.mode == "default" else case.mode
        implementation = self.backend.find(case.problem, case.variant.name, layout=case.layout, mode=mode)
        _refuse_what_cannot_fit(case.problem, self._stand.free_memory(), self.assignment.device)
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
        case, stand = request.case, self._stand
        given = self._given_for(case.problem)
        tensors = self._tensors(case.problem, case.layout)
        with self._active(case):
            call = implementation.prepare(case.problem, *tensors)
            start = stand.clock.now()
            error = given.verifier.check(self.backend, tensors, call)
            stand.rehearse(call)
            stand.warm_up(call, request.warm_up - (stand.clock.now() - start))
            held = self._peak_memory(implementation, case.problem, tensors) if request.weigh else None
            if case.launch == GRAPH:
                timed, error = self._graph(case, implementation, call)
            else:
                timed = stand.timed(call, cold=case.cache == "cold")
            told = dict(getattr(call, "details", {}))
            if request.energy and (joules := stand.energy(timed)) is not None:
                told["energy_j"] = joules
        return _Ready(case, timed), Prepared(timed.calls, error, held, told)

    def _graph(self, case: Case, implementation: Implementation, call: Call) -> tuple[Timed, float]:
        """Return the call as a graph, and the error of the answer that a replay gives."""
        if case.problem.op.stateful:
            raise UnsupportedError(
                f"launch: graph cannot be checked for {case.problem.op.name}, whose replays go on from one another"
            )
        given, tensors = self._given_for(case.problem), self._tensors(case.problem, case.layout)
        cold = case.cache == "cold"
        calls = [call]
        if cold:
            calls += [
                implementation.prepare(case.problem, *self._made(case.problem, case.layout))
                for _ in range(self._stand.copies(case.problem.traffic) - 1)
            ]
        kept = [_Keeping(one) for one in calls]
        timed = self._stand.graph(kept, cold=cold)

        def answer() -> Any:
            self._stand.clock.time(timed.call, 1)
            return kept[0].output

        return timed, given.verifier.check(self.backend, tensors, answer)

    def _active(self, case: Case) -> AbstractContextManager[None]:
        return self.backend.activate(case.variant.name, dtype=case.problem.dtype, flags=case.flags)

    def _given_for(self, problem: Problem) -> _Given:
        """Return the problem's inputs and right answer, made once for all its variants."""
        if problem.key not in self._given:
            inputs = problem.inputs(self.assignment.seed)
            self._given[problem.key] = _Given(inputs, Verifier(problem, inputs))
        return self._given[problem.key]

    def _tensors(self, problem: Problem, layout: str) -> list[Any]:
        """Return the problem's tensors in a layout, made once for all its variants."""
        given = self._given_for(problem)
        if layout not in given.tensors:
            given.tensors[layout] = self._made(problem, layout)
        return given.tensors[layout]

    def _made(self, problem: Problem, layout: str) -> list[Any]:
        """Return new tensors of the problem."""
        inputs = self._given[problem.key].inputs
        tensors = tensors_of(self.backend, problem, inputs)
        return [self.backend.laid_out(tensor, layout) for tensor in tensors] if layout else tensors

    def _peak_memory(
        self, implementation: Implementation, problem: Problem, tensors: Sequence[Any]
    ) -> int | None:
        """Return the most bytes held at once: inputs, outputs and workspace; None where it cannot be told.

        The implementation has run before, so that code and tables loaded by a first call are not counted.
        """
        return_free_memory()  # or the call would grow into what earlier cases have freed
        workspace = self._stand.peak_of(lambda: implementation.prepare(problem, *tensors)())
        if workspace is None:
            return None
        return workspace + problem.input_bytes

    def _turn(self, turn: Turn) -> Reply:
        ready = self._ready[turn.key]
        stolen, busy, start = cpu.steal(), time.process_time(), time.perf_counter()
        with self._active(ready.case):
            taken = self._stand.take(ready.timed, turn.seconds, turn.at_least)
        wall = time.perf_counter() - start
        conditions = {
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

    def _release(self) -> Reply:
        self._ready.clear()
        self._given.clear()
        self.backend.release()
        return_free_memory()
        return Done()


@dataclass
class _Keeping:
    """A call that keeps its last output, which a graph then writes anew at each replay."""

    call: Call
    output: Any = None

    def __call__(self) -> Any:
        """Make the call."""
        self.output = self.call()
        return self.output


def stand_for(backend: Backend, assignment: Assignment) -> Stand:
    """Return the stand for the device that the worker was started for."""
    clock = backend.clock()
    if not isinstance(clock, EventClock):
        return HostStand(backend, clock, assignment.minimum, assignment.cache_bytes, assignment.threads)
    identity = backend.identity()
    board = None if identity is None else nvml.find(identity.uuid, identity.pci)
    return AcceleratorStand(backend, clock, assignment.minimum, board)


def _refuse_what_cannot_fit(problem: Problem, free: int, device: str) -> None:
    """Raise MemoryError before the machine starts to swap or kill."""
    needed = memory(problem)
    if device != "cpu" and problem.traffic > free:
        raise MemoryError(
            f"needs about {format_bytes(problem.traffic)} on {device}, {format_bytes(free)} are free there; "
            "measure a smaller problem"
        )
    free = free if device == "cpu" else cpu.available_memory()
    if needed > free:
        raise MemoryError(
            f"needs about {format_bytes(needed)} with its float64 reference, {format_bytes(free)} are free; "
            "measure a smaller problem"
        )


def failure(error: Exception, backend: Backend) -> Failed:
    """Return the verdict and the reason for an error that a case raised."""
    if isinstance(error, UnsupportedError):
        return Failed("unsupported", str(error))
    if isinstance(error, WrongAnswerError):
        return Failed("incorrect", str(error))
    if backend.is_fatal(error):
        reason = f"{first_line(error)}; the device's context is lost with it, and the worker was replaced"
        return Failed("crashed", reason, lost=True)
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
