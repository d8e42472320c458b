"""A simulated accelerator under virtual time: it works behind the host's back and is wrong in every way a real one is.

Time is kept in whole nanoseconds, so that assertions are exact. The host issues work, which costs it time; queues start
what was issued in order, one item at a time each; nothing but the host's own doings lets time pass.
"""

from __future__ import annotations

import itertools
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from dlbench.errors import UnsupportedError
from dlbench.timing.clock import Call

FOREVER = 10**30
"""Nanoseconds; later than anything."""
NO_LIMIT = 1e9
"""Seconds; a hold with a limit of so many never lets go by itself."""


class DeadlockError(Exception):
    """The host waits for what waits for the host."""


class DeviceLostError(Exception):
    """The device has fallen off the bus."""


class MisuseError(Exception):
    """The queue was asked for what only a faulty clock asks: no assertion, or a test could take it for its own."""


class CaptureError(Exception):
    """Something was done during a capture that invalidates it."""


def ns(seconds: float) -> int:
    """Return whole nanoseconds."""
    return round(seconds * 1e9)


@dataclass(frozen=True)
class Slowdown:
    """From `start` to `end` (seconds) kernels run at this share of the default clock, for these reasons."""

    start: float
    end: float
    share: float
    reasons: tuple[str, ...] = ()
    temperature_c: float = 60.0


@dataclass(frozen=True)
class SimulatedReading:
    """What the simulated board shows."""

    sm_clock_hz: float | None = 1410e6
    default_sm_clock_hz: float | None = 1410e6
    temperature_c: float | None = 60.0
    power_w: float | None = 250.0
    reasons: tuple[str, ...] = ()


@dataclass
class Kernel:
    """One launch: how long it takes with a cold and with a warm cache, and which buffer of how many bytes it reads."""

    name: str
    cold: int
    hot: int
    nbytes: int = 0


@dataclass
class Item:
    """What stands in a queue: kernels in a row (a graph has many), a mark, a flush, or a hold."""

    kind: str
    arrives: int
    kernels: tuple[Kernel, ...] = ()
    limit: int = 0
    passed: int | None = None


@dataclass
class SimulatedDevice:
    """An accelerator and the host that drives it. Durations are seconds; all have defaults that are easy to add up.

    `launch` is what a launch costs the host, `mark` a mark, `sync` a wait; `event` is the device's time between two marks
    with nothing between them, one value for each mark in turn. `held_up` is what the next waits for the whole device take
    longer, one value for each.
    """

    resolution: float = 0.5e-6
    cache_bytes: int = 40 * 2**20
    launch: float = 5e-6
    mark: float = 1e-6
    sync: float = 4e-6
    event: Sequence[float] = (0.0,)
    flush: float = 100e-6
    depth: int = 1024
    held_up: Iterator[float] = field(default_factory=lambda: itertools.repeat(0.0))
    slowdowns: tuple[Slowdown, ...] = ()
    can_hold: bool = True
    lost: bool = False
    log: list[str] = field(default_factory=list)
    deadlocks: int = 0
    most_behind_hold: int = 0

    def __post_init__(self) -> None:
        self.moment = 0
        self.loaded: set[str] = set()
        self.cache: OrderedDict[str, int] = OrderedDict()
        self.queues: list[SimulatedQueue] = []
        self.default = self.queue()
        self.side = self.queue()
        self.current = self.default
        self.busy_until = -FOREVER
        self.events = itertools.cycle(map(ns, self.event))

    def queue(self) -> SimulatedQueue:
        """Return a new queue."""
        self.queues.append(SimulatedQueue(self))
        return self.queues[-1]

    def kernel(
        self,
        name: str,
        *,
        cold: float,
        hot: float,
        launches: int = 1,
        synchronises: bool = False,
        side_queue: bool = False,
        nbytes: int = 0,
    ) -> Call:
        """Return a call of so many launches, which take `cold` or `hot` seconds together."""
        share = Kernel(name, ns(cold) // launches, ns(hot) // launches, nbytes)

        def call() -> str:
            queue = self.side if side_queue else self.current
            for _ in range(launches):
                queue.put_kernel(share)
            if synchronises:
                queue.synchronise()
            return name

        return call

    def pass_time(self, seconds: float) -> None:
        """Let host time pass, and the device work meanwhile."""
        self.advance(self.moment + ns(seconds))

    def advance(self, moment: int) -> None:
        """Go on to the moment: the earliest of all that can start by then starts first."""
        self.moment = max(self.moment, moment)
        while True:
            starts = [(queue.next_start(self.moment), number) for number, queue in enumerate(self.queues)]
            start, number = min(starts)
            if start > self.moment:
                return
            self.queues[number].start_next(start)

    def alive(self) -> None:
        """Raise where the device is lost."""
        if self.lost:
            raise DeviceLostError("the device is lost")

    def slowdown(self, moment: int) -> Slowdown:
        """Return how the board is at the moment."""
        seconds = moment * 1e-9
        for one in self.slowdowns:
            if one.start <= seconds < one.end:
                return one
        return Slowdown(0.0, 0.0, 1.0)

    def run(self, kernel: Kernel, start: int) -> int:
        """Return when a kernel that starts now ends; what it read is then in the cache, and the oldest gone from it."""
        warm = self.cache.get(kernel.name) is not None
        self.cache[kernel.name] = kernel.nbytes
        self.cache.move_to_end(kernel.name)
        while sum(self.cache.values()) > self.cache_bytes:
            self.cache.popitem(last=False)
        end = start + round((kernel.hot if warm else kernel.cold) / self.slowdown(start).share)
        self.busy_until = max(self.busy_until, end)
        return end


class SimulatedQueue:
    """A stream of the simulated device; implements `dlbench.timing.queue.Queue`."""

    def __init__(self, device: SimulatedDevice) -> None:
        self.device = device
        self.items: deque[Item] = deque()
        self.free = 0  # when the last item that has started ends; FOREVER while held
        self.released = False
        self.holding: Item | None = None
        self.recording: list[Kernel] | None = None

    @property
    def resolution(self) -> float:
        return self.device.resolution

    @property
    def cache_bytes(self) -> int:
        return self.device.cache_bytes

    @contextmanager
    def active(self) -> Iterator[None]:
        before, self.device.current = self.device.current, self
        try:
            yield
        finally:
            self.device.current = before

    def record(self) -> Item:
        self._refuse_while_recording("a timing mark")
        return self._put(Item("mark", 0), self.device.mark)

    def elapsed(self, start: Item, end: Item) -> float:
        if start.passed is None or end.passed is None:
            raise MisuseError("the queue has not passed the marks")
        tick = ns(self.device.resolution)
        return (end.passed // tick - start.passed // tick) * tick * 1e-9

    def wait(self) -> None:
        self._refuse_while_recording("a wait")
        self.synchronise()
        self.device.pass_time(self.device.sync)

    def wait_device(self) -> None:
        self._refuse_while_recording("a wait")
        self.device.alive()
        for queue in self.device.queues:
            queue.synchronise()
        self.device.pass_time(self.device.sync + next(self.device.held_up))

    def hold(self, limit: float) -> None:
        if not self.device.can_hold:
            raise UnsupportedError("this framework has no kernel that waits")
        if self.holding is not None:
            raise MisuseError("held twice")
        self.device.log.append("hold")
        self.released = False
        self.holding = self._put(Item("hold", 0, limit=ns(min(limit, NO_LIMIT))), self.device.launch)

    def release(self) -> bool:
        self.device.alive()
        held, self.holding = self.holding, None
        if held is None:
            raise MisuseError("released a queue that was not held")
        self.device.log.append("release")
        behind = sum(max(1, len(item.kernels)) for item in self.items if item.kind != "mark")
        self.device.most_behind_hold = max(self.device.most_behind_hold, behind)
        if held.passed is not None and held.passed + held.limit <= self.device.moment:
            return False
        self.released = True
        if held.passed is not None:
            self.free = self.device.moment
        self.device.advance(self.device.moment)
        return True

    def flush(self) -> None:
        self.device.log.append("flush")
        self._put(Item("flush", 0), self.device.launch)

    def capture(self, work: Callable[[], None]) -> Call:
        self.recording = []
        try:
            work()
            graph = tuple(self.recording)
        except CaptureError as error:
            raise UnsupportedError(f"cannot be captured: {error}") from error
        finally:
            self.recording = None

        def replay() -> None:
            self.device.log.append("replay")
            self._put(Item("kernel", 0, kernels=graph), self.device.launch)

        return replay

    def synchronises(self, call: Call) -> bool:
        before = self.device.log.count("synchronise")
        call()
        return self.device.log.count("synchronise") > before

    def now(self) -> float:
        return self.device.moment * 1e-9

    def sleep(self, seconds: float) -> None:
        self.device.pass_time(seconds)

    def put_kernel(self, kernel: Kernel) -> None:
        """Launch it; a first launch loads it, for which every queue has to be empty."""
        if self.recording is not None:
            self.recording.append(kernel)
            return
        if any(queue.recording is not None for queue in self.device.queues):
            raise CaptureError("work on another queue during a capture")
        self.device.log.append(kernel.name)
        if kernel.name not in self.device.loaded:
            self.device.loaded.add(kernel.name)
            self.device.deadlocks += any(queue.holding for queue in self.device.queues)
            for queue in self.device.queues:
                queue.drain()
        self._put(Item("kernel", 0, kernels=(kernel,)), self.device.launch)

    def synchronise(self) -> None:
        """Make the host wait, as an operation does that reads a value back."""
        self._refuse_while_recording("a wait")
        self.device.alive()
        self.device.log.append("synchronise")
        self.drain()

    def drain(self) -> None:
        """Let time pass until the queue is empty; behind a hold until that gives up."""
        while self.items or self.free > self.device.moment:
            self._step()

    def _step(self) -> None:
        """Let time pass until something of this queue ends or starts."""
        if self.free == FOREVER:
            if self.holding is None or self.holding.passed is None:
                raise MisuseError("the queue stands still and nothing holds it")
            if self.holding.limit == ns(NO_LIMIT):
                raise DeadlockError("the host waits behind a hold without a limit")
            self.device.advance(self.holding.passed + self.holding.limit)
        elif self.items:
            self.device.advance(max(self.items[0].arrives, self.free))
        else:
            self.device.advance(self.free)

    def _put(self, item: Item, cost: float) -> Item:
        """Issue an item; a full queue makes the host wait for room."""
        self.device.alive()
        while len(self.items) >= self.device.depth:
            self._step()
        self.device.pass_time(cost)
        item.arrives = self.device.moment
        self.items.append(item)
        self.device.advance(self.device.moment)
        return item

    def _refuse_while_recording(self, what: str) -> None:
        if any(queue.recording is not None for queue in self.device.queues):
            raise CaptureError(f"{what} during a capture")

    def next_start(self, moment: int) -> int:
        """Return when the first item can start; a hold that has outlasted its limit by the moment gives up first."""
        if self.free == FOREVER and self.holding is not None and self.holding.passed is not None:
            gives_up = self.holding.passed + self.holding.limit
            if gives_up <= moment:
                self.free = gives_up
        return max(self.items[0].arrives, self.free) if self.items else FOREVER + 1

    def start_next(self, start: int) -> None:
        """Start the first item, which decides when the next one may."""
        item = self.items.popleft()
        end = start
        if item.kind == "mark":
            end += next(self.device.events)
        elif item.kind == "flush":
            self.device.cache.clear()
            end += ns(self.device.flush)
        elif item.kind == "hold" and not self.released:
            end = FOREVER
        for kernel in item.kernels:
            end = self.device.run(kernel, end)
        item.passed = start if item.kind == "hold" else end
        self.free = end


@dataclass
class SimulatedGauge:
    """Shows the simulated board, which lowers its clock when it has been idle for longer than `idle_after` seconds."""

    device: SimulatedDevice
    idle_after: float = 10e-3
    idle_hz: float = 210e6
    default_hz: float = 1410e6
    reads: int = 0
    gone_after: int | None = None

    def read(self) -> SimulatedReading | None:
        self.reads += 1
        if self.gone_after is not None and self.reads > self.gone_after:
            return None
        moment = self.device.moment
        now = self.device.slowdown(moment)
        if moment - self.device.busy_until > ns(self.idle_after):
            lasting = tuple(text for text in now.reasons if "thermal" in text)
            return SimulatedReading(
                self.idle_hz, self.default_hz, now.temperature_c, 60.0, ("GPU idle", *lasting)
            )
        return SimulatedReading(
            now.share * self.default_hz, self.default_hz, now.temperature_c, 250.0, now.reasons
        )
