"""What happens inside a worker: prepare cases and take samples of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
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
from dlbench.runner.protocol import Assignment, Failed, Prepare, Prepared
from dlbench.runner.reasons import described, first_line
from dlbench.runner.serving import Readied, Serving
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


class Bench(Serving):
    """One backend on one device, holding the cases of the problem that is being sampled."""

    def __init__(
        self,
        backend: Backend,
        assignment: Assignment,
        settle: Callable[[Clock], None] = settle,
        own: Sequence[Implementation] | None = None,
        printed: Callable[[], str] = str,
    ) -> None:
        """Take who computes and what for; `own` are the implementations of the user's files, None without files.

        The stand is chosen by the device. What the user's files print is told by `printed`.
        """
        super().__init__(stand_for(backend, assignment), settle, assignment.files, printed)
        self.backend = backend
        self.assignment = assignment
        self._own = own
        self._given: dict[str, _Given] = {}

    def _prepare(self, request: Prepare) -> Prepared:
        case = request.case
        mode = "" if case.mode == "default" else case.mode
        implementation = self.backend.find(
            case.problem, case.variant.name, layout=case.layout, mode=mode, among=self._own
        )
        _refuse_what_cannot_fit(case.problem, self._stand.free_memory(), self.assignment.device)
        try:
            ready, prepared = self._made_ready(request, implementation)
        except BaseException:  # sys.exit as well
            self._given.pop(
                case.problem.key, None
            )  # it may have changed the inputs, which the next variant shares
            raise
        self._ready[case.key] = ready
        return prepared

    def _made_ready(self, request: Prepare, implementation: Implementation) -> tuple[Readied, Prepared]:
        """Return the verified, warm and calibrated case, and what the runner is told of it."""
        case, stand = request.case, self._stand
        given = self._given_for(case.problem)
        tensors = self._tensors(case.problem, case.layout)
        with self._active(case):
            call = _made_call(implementation, case.problem, tensors)
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
        return Readied(case, timed), Prepared(timed.calls, error, held, told)

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

    def _release(self) -> None:
        self._given.clear()
        self.backend.release()
        return_free_memory()

    def _failure(self, error: Exception) -> Failed:
        return failure(error, self.backend, self._files)


def _made_call(implementation: Implementation, problem: Problem, tensors: Sequence[Any]) -> Call:
    """Return the prepared call. Raises TypeError where what was prepared cannot be called."""
    call = implementation.prepare(problem, *tensors)
    if not callable(call):
        raise TypeError(
            f"prepare returns {type(call).__name__} instead of a function without arguments that computes the outputs"
        )
    return call


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
        return HostStand(clock, assignment.minimum, assignment.cache_bytes, assignment.threads)
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


def failure(error: Exception, backend: Backend, files: tuple[str, ...] = ()) -> Failed:
    """Return the verdict and the reason for an error that a case raised; its place is looked for in the user's files."""
    if isinstance(error, UnsupportedError):
        return Failed("unsupported", str(error))
    if isinstance(error, WrongAnswerError):
        return Failed("incorrect", str(error))
    if backend.is_fatal(error):
        reason = f"{first_line(error)}; the device's context is lost with it, and the worker was replaced"
        return Failed("crashed", reason, lost=True)
    if backend.is_out_of_memory(error):
        return Failed("out_of_memory", f"{first_line(error)}")
    return Failed("failed", described(error, *files))
