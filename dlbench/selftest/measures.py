"""Measure what a self-test judges: one backend on one device, in this process."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Protocol

import numpy as np

from dlbench.backends.backend import Backend, Identity, Implementation, tensors_of
from dlbench.devices import environment, nvml
from dlbench.devices.cpu import last_level_cache
from dlbench.devices.datasheet import datasheet
from dlbench.errors import UnsupportedError
from dlbench.ops.attention import Attention
from dlbench.ops.catalogue import ops
from dlbench.ops.conv import Conv2d
from dlbench.ops.differentiation import NetworkGradient
from dlbench.ops.dtypes import Array
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Distribution, Op
from dlbench.ops.problem import Problem
from dlbench.ops.sorting import Nms
from dlbench.ops.stream import Copy
from dlbench.runner.accelerator import AcceleratorStand, Board
from dlbench.runner.bench import failure
from dlbench.runner.stand import HostStand, Stand, Timed
from dlbench.runner.verify import Verifier
from dlbench.selftest import checks
from dlbench.selftest.checks import Answers, Judged
from dlbench.timing.clock import Call
from dlbench.timing.event_clock import EventClock
from dlbench.timing.sampling import Batch

FLOAT = 4
"""Bytes of a float32, which everything but the answers is measured in."""
MINIMUM = 1e-3
"""Seconds of the shortest sample, as a run has it."""
SMALL = 64
"""Side of the product that a graph is tried with: its launch takes longer than its kernel."""
COLD = Batch(1, 0.0)
HOT_COPIES = 8
"""Copies that follow the cold one: enough for a clock of 0.5 µs, few enough to be put in behind a hold."""
LOAD = 0.1
"""Seconds of work behind the reading of a board."""
LIBRARY = "library"
LEFT_OUT = frozenset({"compiled"})
"""Variants that are not asked for their answers: compiling each small problem would take minutes."""

RAGGED: Mapping[str, tuple[Op, ...]] = MappingProxyType(
    {
        "matmul": (Matmul(m=37, n=29, k=53), Matmul(m=17, n=33, k=9, batch=3, trans_a=True, trans_b=True)),
        "conv2d": (
            Conv2d(n=2, c=3, h=9, w=7, k=5, r=3, s=2, stride=2, pad=1),
            Conv2d(n=2, c=4, h=11, w=9, k=6, r=3, s=3, pad=2, dilation=2, groups=2),
            Conv2d(n=2, c=8, h=13, w=11, k=16, r=3, s=3, pad=1),
        ),
        "attention": (
            Attention(batch=2, heads=3, seq_q=17, seq_k=23, dim=8),
            Attention(heads=2, seq_q=33, seq_k=33, dim=64, causal=True),
        ),
        "network_gradient": (NetworkGradient(width=5, batch=7),),
        "nms": (Nms(n=129),),
    }
)
"""Small problems whose sides are no multiples of a tile; the ops that are not here take `_SIDES` by parameter name."""
_SIDES = {"rows": 33, "cols": 129, "n": 10_007}


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is measured.

    `batch` are the seconds of the long kernel, `sides` those of the square products, of which none is begun that would
    take `longest` seconds a call; so many `samples` stand behind a time, `singles` where a sample is a single call.
    """

    batch: float = 0.05
    sides: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    longest: float = 0.3
    samples: int = 9
    singles: int = 31


FULL = Effort()
QUICK = Effort(batch=0.02, sides=(32, 64, 128), longest=0.1, samples=3, singles=3)
"""Shows that a self-test runs, not that a device is right."""


class Shown(Board, Protocol):
    """A board as NVML shows it."""

    @property
    def name(self) -> str:
        """The model."""

    @property
    def uuid(self) -> str:
        """`GPU-…`."""

    def others(self) -> Sequence[nvml.OtherProcess]:
        """Return the other processes on it."""


@dataclass
class Subject:
    """A backend on a device, and how much is asked of it; `at` is told what is about to run."""

    backend: Backend
    effort: Effort = FULL
    at: Callable[[str], None] = lambda _: None
    find: Callable[[str, str], Shown | None] = nvml.find
    stand: Stand = field(init=False)

    def __post_init__(self) -> None:
        """Choose the stand as a worker does, but wait for no slowed-down board: one check is enough to find it."""
        backend, clock = self.backend, self.backend.clock()
        if isinstance(clock, EventClock):
            self.stand = AcceleratorStand(backend, clock, MINIMUM, None)
        else:
            self.stand = HostStand(clock, MINIMUM, last_level_cache(), backend.threads)

    @property
    def cache_bytes(self) -> int:
        """The size of the device's last-level cache in bytes."""
        clock = self.stand.clock
        return clock.cache_bytes if isinstance(clock, EventClock) else last_level_cache()

    @property
    def identity(self) -> Identity:
        """By what the framework knows the board; empty for a processor."""
        return self.backend.identity() or Identity()

    def seconds(self, timed: Timed) -> float:
        """Return the seconds per call: the clock's own quantile of the samples, as a run takes it."""
        taken = self.stand.take(timed, 0.0, self.effort.singles if timed.cold else self.effort.samples)
        values = [sample.seconds for sample in taken.samples]
        return float(np.quantile(values, self.stand.clock.quantile)) / timed.replays

    def eager(self, call: Call) -> float:
        """Return the seconds of back-to-back calls."""
        return self.seconds(self.stand.timed(call, cold=False))

    def cold(self, call: Call) -> float:
        """Return the seconds of a single call after a flush."""
        return self.seconds(Timed(call, COLD, cold=True))

    def chosen(self, problem: Problem) -> Implementation:
        """Return how the framework's own library computes the problem, else the first way there is.

        Raises UnsupportedError where the backend does not compute it.
        """
        op = problem.op.name
        mine = [one for one in _asked(self.backend) if one.op == op and not one.refusal(problem)]
        if not mine:
            raise UnsupportedError(f"{self.backend.spec.name} does not compute {op} in {problem.dtype}")
        return next((one for one in mine if one.variant == LIBRARY), mine[0])

    @contextmanager
    def ready(self, op: Op, data: Distribution = "normal") -> Iterator[Call]:
        """Prepare the op in float32 and rehearse the call. Raises UnsupportedError where the backend does not compute it."""
        problem = Problem(op, data=data)
        chosen = self.chosen(problem)
        with self.backend.activate(chosen.variant, dtype=problem.dtype):
            tensors = tensors_of(self.backend, problem, problem.inputs())
            call = chosen.prepare(problem, *tensors)
            call()
            self.stand.rehearse(call)
            yield call
        self.backend.release()


Check = Callable[[Subject], Judged]


def model_of(subject: Subject) -> tuple[str, int]:
    """Return what the device's driver calls it and its bytes of memory; empty and 0 where unknown."""
    board = subject.find(*subject.identity) if any(subject.identity) else None
    known = [one for one in environment.devices() if one.name == subject.backend.device]
    if board is not None:
        known = [one for one in environment.devices() if one.uuid == board.uuid]
        return board.name, known[0].memory if known else 0
    return (known[0].model, known[0].memory) if known else ("", 0)


def checks_of(backend: Backend) -> dict[str, Check]:
    """Return the checks that make sense for a backend, by name, in the order in which they are made."""
    variants = dict.fromkeys(one.variant for one in _asked(backend))
    made: dict[str, Check] = {f"answers: {variant}": _answers_of(variant) for variant in variants}
    if backend.device == "cpu":
        return made | {"larger is faster": _tolerant(growth), "cache flush": _tolerant(flush)}
    return made | {
        "event floor": floor,
        "events and host": against_host,
        "events and profiler": against_profiler,
        "larger is faster": growth,
        "bandwidth": bandwidth,
        "cache flush": flush,
        "graph": graph,
        "board": board,
    }


def _tolerant(check: Check) -> Check:
    return lambda subject: checks.on_a_processor(check(subject))


def judged(check: Check, subject: Subject) -> tuple[Judged, bool]:
    """Make a check and return its judgement, and whether the device is lost; an error is a failure that says which."""
    try:
        return check(subject), False
    except UnsupportedError as error:
        return Judged("skipped", str(error)), False
    except Exception as error:
        failed = failure(error, subject.backend)
        advice = "update the framework and the driver; if that does not help, report it with this message"
        return Judged("failed", failed.reason, advice), failed.lost


def floor(subject: Subject) -> Judged:
    """Look at what lies between two marks."""
    return checks.floor(_events(subject).floor)


def against_host(subject: Subject) -> Judged:
    """Time one long batch by the device's marks and by the host's clock."""
    clock = _events(subject)
    with subject.ready(_square(_long_side(subject))) as call:
        calls = _calls(subject, call)
        clock.observations()
        start = clock.now()
        device = clock.time(call, calls)
        host = clock.now() - start
        seen = clock.observations()
    return checks.against_host(device, host, str(seen.get("side_stream", "")))


def against_profiler(subject: Subject) -> Judged:
    """Time one long batch by the device's marks, and let the framework's profiler add its kernels up."""
    clock = _events(subject)
    with subject.ready(_square(_long_side(subject))) as call:
        calls = _calls(subject, call)
        kernels = subject.backend.kernel_seconds(call, calls)
        return checks.against_profiler(clock.time(call, calls), kernels)


def growth(subject: Subject) -> Judged:
    """Measure the FLOP/s of larger and larger square products, as long as they do not take too long."""
    if subject.chosen(Problem(_square(subject.effort.sides[0]))).variant != LIBRARY:
        raise UnsupportedError(
            f"{subject.backend.spec.name} multiplies in plain loops, which slow down where the cache ends"
        )
    rates: dict[int, float] = {}
    seconds = 0.0
    for side in subject.effort.sides:
        if rates and seconds * (side / max(rates)) ** 3 > subject.effort.longest:
            break
        op = _square(side)
        subject.at(f"matmul {op.label()}")
        with subject.ready(op) as call:
            if not rates:
                subject.stand.warm_up(call, subject.effort.batch)
            seconds = subject.eager(call)
        rates[side] = op.flops("forward") / seconds
    return checks.growth(rates)


def bandwidth(subject: Subject) -> Judged:
    """Copy half of eight times the cache to the other half, and look the board's bandwidth up.

    Eight, because a cache that does not evict in order keeps some of a copy that is only a little larger. Zeros are made
    at once, and memory moves them as fast as any other numbers.
    """
    sheet = datasheet(*model_of(subject))
    if sheet is None or sheet.bandwidth is None:
        raise UnsupportedError("no datasheet of this device is known")
    op = Copy(n=8 * subject.cache_bytes // (2 * FLOAT))
    with subject.ready(op, data="zeros") as call:
        moved = op.traffic("forward", FLOAT) / subject.eager(call)
    return checks.bandwidth(moved, sheet.bandwidth, sheet.board)


def flush(subject: Subject) -> Judged:
    """Copy a quarter of the cache once after a flush, and several times: all but the first find their operands in the cache.

    Both samples hold the same marks, which their difference does not; a loop without a hold would time launches instead.
    """
    op = Copy(n=max(1, subject.cache_bytes // 4 // (2 * FLOAT)))
    with subject.ready(op) as call:

        def several() -> None:
            for _ in range(1 + HOT_COPIES):
                call()

        subject.stand.rehearse(several)
        single, together = subject.cold(call), subject.cold(several)
    clock = subject.stand.clock
    idle = clock.floor if isinstance(clock, EventClock) else 0.0
    return checks.flush(single - idle, (together - single) / HOT_COPIES)


def graph(subject: Subject) -> Judged:
    """Time a small product launched by itself and replayed in a graph."""
    with subject.ready(_square(SMALL)) as call:
        replayed = subject.seconds(subject.stand.graph([call], cold=False))
        return checks.graph(replayed, subject.eager(call))


def board(subject: Subject) -> Judged:
    """Find the board, put it to work, and read it."""
    identity = subject.identity
    if not any(identity):
        return checks.board("", None, "", ())
    shown = subject.find(*identity)
    if shown is None:  # an address alone may be that of another maker's board, which NVML does not know
        return checks.board(identity.uuid, None, "", ())
    with subject.ready(_square(_long_side(subject))) as call:
        watched = AcceleratorStand(subject.backend, _events(subject), MINIMUM, shown)
        throttled = watched.take(watched.timed(call, cold=False), LOAD, 1).throttled
    others = [f"{one.name or 'a process'} ({one.pid})" for one in shown.others()]
    return checks.board(identity.uuid or identity.pci, shown.name, throttled, others)


def _answers_of(variant: str) -> Check:
    def check(subject: Subject) -> Judged:
        found = Answers()
        for one in _asked(subject.backend):
            if one.variant == variant:
                _compare(subject, one, found)
        return checks.answers(found)

    return check


def _compare(subject: Subject, one: Implementation, found: Answers) -> None:
    """Compare an implementation with the references in each of its directions, dtypes and layouts."""
    for op in _ragged(one.op):
        for direction in one.directions:
            for dtype in one.dtypes:
                problem = Problem(op, dtype, direction)
                for layout in ("", *(name for name in one.layouts if name != op.own_layout())):
                    _try(subject, one, problem, layout, found)


def _try(subject: Subject, one: Implementation, problem: Problem, layout: str, found: Answers) -> None:
    """Compare one answer with the reference.

    Raises what leaves the device unusable: nothing that came after would say anything.
    """
    backend = subject.backend
    label = " ".join(filter(None, (problem.label, problem.dtype, problem.direction, layout)))
    subject.at(label)
    inputs, verifier = _reference(problem)
    try:
        with backend.activate(one.variant, dtype=problem.dtype):
            tensors = tensors_of(backend, problem, inputs)
            tensors = [backend.laid_out(tensor, layout) for tensor in tensors] if layout else tensors
            verifier.check(backend, tensors, one.prepare(problem, *tensors))
    except UnsupportedError as error:
        found.unsupported[str(error)] += 1
    except Exception as error:
        told = failure(error, backend)
        if told.lost:
            raise
        found.wrong.append(f"{label}: {told.reason}")
    else:
        found.right += 1


@lru_cache(maxsize=256)
def _reference(problem: Problem) -> tuple[dict[str, Array], Verifier]:
    inputs = problem.inputs()
    return inputs, Verifier(problem, inputs)


def _ragged(name: str) -> tuple[Op, ...]:
    if name in RAGGED:
        return RAGGED[name]
    op = ops().get(name)
    if op is None or not all(
        field in _SIDES for field, info in op.model_fields.items() if info.is_required()
    ):
        return ()
    return (op(**{field: _SIDES[field] for field, info in op.model_fields.items() if info.is_required()}),)


def _asked(backend: Backend) -> list[Implementation]:
    return [one for one in backend.implementations() if one.variant not in LEFT_OUT and not one.mode]


def _events(subject: Subject) -> EventClock:
    clock = subject.stand.clock
    if not isinstance(clock, EventClock):
        raise UnsupportedError("this device is timed by the host's clock alone")
    return clock


def _square(side: int) -> Matmul:
    return Matmul(m=side, n=side, k=side)


def _long_side(subject: Subject) -> int:
    """Return the side of a product that lasts much longer than its launch, and not long: the second largest."""
    return subject.effort.sides[-2]


def _calls(subject: Subject, call: Call) -> int:
    """Return the calls of a long batch; they warm the device up as well."""
    return max(1, math.ceil(subject.effort.batch / subject.eager(call)))
