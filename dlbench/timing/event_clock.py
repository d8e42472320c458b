"""The stopwatch of an accelerator: marks in a queue of its own, a cold cache, and the launch hidden behind a hold.

The device works behind the host's back. What a pair of marks in a queue says is therefore believed only after the
device as a whole has been waited for, and a single call is put in whole before the device may start it: otherwise the
marks of a small kernel would time how slowly the host launches it.
"""

from __future__ import annotations

import statistics
import weakref
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import repeat
from typing import Any

from dlbench.errors import UnsupportedError
from dlbench.statistics import MEDIAN
from dlbench.timing.clock import Call
from dlbench.timing.queue import Queue

MINIMUM_WARM_UP = 0.25
"""Seconds of thermal warm-up at least. A board needs longer than a processor to reach the clock that it will hold; the
project's rules of measuring ask for 250 ms."""
REHEARSALS = 3
"""Calls that load code lazily and tune themselves before anything is timed; the project's rules of measuring."""
HOLD_LIMIT = 1.0
"""Seconds after which a hold lets go by itself. A call is issued within milliseconds even on a busy host: whatever takes
longer waits for the device, and would wait for ever without the limit."""
EMPTY_PAIRS = 21
"""Empty pairs behind the floor. Odd, so that the median is one of them; few enough to take well below a second."""
LATE_TICKS = 20
"""A wait for the whole device that takes so many resolutions longer than on an idle device (10 µs at 0.5 µs) has found
work elsewhere. Chosen, not yet measured on a device: above a launch and the jitter of a wait, which are microseconds."""
LATE_SHARE = 0.01
"""Nor does work count as hidden that outlasts the batch by less than 1 %: what warm-up calls steady."""
SURELY = 5
"""So many batches in a row must have left work elsewhere: a host that was held up between its two waits looks the same,
but not that often."""
MOST_CAPTURED = 10_000
"""Calls in one graph. Chosen: ten times a whole sample of 1 ms at 1 µs a call, and a bound for a graph's memory."""
KEPT = 10_000
"""Issue times behind the median that is told: enough for it, and no leak where nobody asks."""

SIDE_STREAM = "work on another stream: host time taken"
SYNCHRONISES = "the call makes the host wait for the device: launch latency is in its time"
GAVE_UP = (
    "the hold gave up before the call was issued: it waits for the device, or launches more than the queue takes; "
    "launch latency is in its time"
)


class EventClock:
    """Times calls by the marks of a queue; the host's time is taken only where work hides from the marks."""

    def __init__(self, queue: Queue) -> None:
        """Take the queue that all calls are put into; nothing is asked of the device before the first sample."""
        self._queue = queue
        self._known: dict[int, _Known] = {}
        self._idle: _Idle | None = None
        self._no_hold = ""
        self._issued: deque[float] = deque(maxlen=KEPT)
        self._notes: dict[str, str] = {}

    @property
    def tick(self) -> float:
        """The smallest time between two marks that can be told apart, in seconds."""
        return self._queue.resolution

    @property
    def quantile(self) -> float:
        """The median: nothing preempts a kernel, and a device's clock wanders both ways."""
        return MEDIAN

    @property
    def cache_bytes(self) -> int:
        """The size of the device's last-level cache in bytes."""
        return self._queue.cache_bytes

    @property
    def floor(self) -> float:
        """The median seconds between the two marks of an empty pair, measured when first asked for; never subtracted."""
        with self._queue.active():
            return self._idle_device().floor

    def now(self) -> float:
        """Return host seconds since some fixed moment."""
        return self._queue.now()

    def sleep(self, seconds: float) -> None:
        """Let host time pass."""
        self._queue.sleep(seconds)

    def time(self, call: Call, calls: int) -> float:
        """Return the device's seconds for so many back-to-back calls; the host's where work hides on another stream.

        Nothing is held back here: a batch may be longer than the queue of launches is deep.
        """
        known = self._of(call)
        with self._queue.active():
            return self._seconds(known, lambda: self._take(partial(_repeat, call, calls)), calls)

    def rehearse(self, call: Call) -> None:
        """Make three calls, each waited for and none behind a hold, and find out whether the call synchronises."""
        with self._queue.active():
            self._rehearse(call, self._of(call))

    def time_cold(self, call: Call) -> float:
        """Return the seconds of one call that finds its operands in memory: the cache overwritten before, untimed.

        A call that was never rehearsed is rehearsed first: loaded lazily behind a hold it would deadlock until the limit.
        """
        known = self._of(call)
        with self._queue.active():
            if not known.rehearsed:
                self._rehearse(call, known)
            seconds = self._seconds(known, lambda: self._cold(call, known), 1)
        if not known.hides and (why := known.unheld or self._no_hold):
            self._notes["unheld"] = why
        return seconds

    def captured(self, calls: Sequence[Call], repeats: int) -> Call:
        """Return a graph of so many rounds over the calls, in their order; a replay makes `len(calls) * repeats` calls.

        The graph keeps the calls, whose tensors it works on, alive. Raises UnsupportedError for a call that makes the host
        wait, for more than 10,000 calls, and where the framework has no graphs.
        """
        count = len(calls) * repeats
        if not 0 < count <= MOST_CAPTURED:
            raise UnsupportedError(
                f"a graph of {count} calls: it takes 1 to {MOST_CAPTURED}; ask for shorter samples, or launch: eager"
            )
        with self._queue.active():
            for call in calls:
                known = self._of(call)
                if not known.rehearsed:
                    self._rehearse(call, known)
                if known.synchronises:
                    raise UnsupportedError(
                        "a graph cannot hold a call that makes the host wait for the device"
                    )
            replay = self._queue.capture(partial(_rounds, calls, repeats))
        return _Replay(replay, tuple(calls))

    def observations(self) -> Mapping[str, Any]:
        """Return the host's median µs to issue a call, the floor in µs, and what was timed unlike the rest; then forget."""
        seen: dict[str, Any] = dict(self._notes)
        if self._issued:
            seen["host_us"] = round(statistics.median(self._issued) * 1e6, 3)
            seen["event_floor_us"] = round(self.floor * 1e6, 3)
        self._notes.clear()
        self._issued.clear()
        return seen

    def _of(self, call: Call) -> _Known:
        """Return what is known of the call, forgotten when the call is gone.

        A call that cannot be referred to weakly is known only to whoever asks: it is found out anew each time.
        """
        known = self._known.get(id(call))
        if known is None:
            known = _Known()
            try:
                weakref.finalize(call, self._known.pop, id(call), None).atexit = False
            except TypeError:
                return known
            self._known[id(call)] = known
        return known

    def _rehearse(self, call: Call, known: _Known) -> None:
        for _ in range(REHEARSALS):
            call()
            self._queue.wait_device()
        known.synchronises = self._queue.synchronises(call)
        self._queue.wait_device()
        if known.synchronises:
            known.unheld = SYNCHRONISES
        known.rehearsed = True

    def _cold(self, call: Call, known: _Known) -> _Taken:
        """Empty the cache and take one call: behind a hold where that is possible, in the open where it was not."""
        self._queue.flush()
        taken = self._take(call, hold=not (known.unheld or known.hides))
        if not taken.expired:
            return taken
        known.unheld = GAVE_UP
        return self._cold(call, known)

    def _seconds(self, known: _Known, take: Callable[[], _Taken], calls: int) -> float:
        """Return the seconds of what is taken, by the device's marks unless work hides from them."""
        self._idle_device()  # first, so that the marks and the hold themselves are loaded around nothing
        taken = take()
        doubts = 0
        while not known.hides and self._hides(taken):
            doubts += 1
            known.hides = doubts == SURELY
            taken = take()
        self._issued.append(taken.issue / calls)
        if known.hides:
            self._notes["side_stream"] = SIDE_STREAM
            return taken.host
        return taken.device

    def _hides(self, taken: _Taken) -> bool:
        """Return whether the device still worked when the queue was empty, or a held call left nothing between its marks.

        The second finds short work elsewhere: it has ended before the hold does. Work that long (two resolutions and less)
        cannot be told from none.
        """
        idle = self._idle_device()
        slack = max(LATE_TICKS * self.tick, LATE_SHARE * taken.device)
        return taken.late - idle.wait > slack or (taken.held and taken.device <= idle.floor + self.tick)

    def _idle_device(self) -> _Idle:
        """Return what an idle device shows, measured once, held as a cold sample is."""
        if self._idle is None:
            empty = [self._take(_nothing, hold=True) for _ in range(EMPTY_PAIRS)]
            self._idle = _Idle(
                statistics.median(taken.device for taken in empty),
                statistics.median(taken.late for taken in empty),
            )
        return self._idle

    def _take(self, work: Callable[[], Any], *, hold: bool = False) -> _Taken:
        """Put the work in between two marks and wait until the device is idle.

        Behind a hold stands one call and never a batch: the queue of launches has an end (nvbench advises at most about 32
        launches behind its blocking kernel), and a host that waits for room there waits for the hold to give up.
        """
        queue = self._queue
        queue.wait_device()
        held = hold and self._hold()
        released = True
        try:
            start = queue.record()
            began = queue.now()
            work()
            issued = queue.now()
            end = queue.record()
        finally:
            if held:
                released = queue.release()
        queue.wait()
        emptied = queue.now()
        queue.wait_device()
        finished = queue.now()
        return _Taken(
            device=queue.elapsed(start, end),
            host=finished - began,
            late=finished - emptied,
            issue=issued - began,
            held=held,
            expired=not released,
        )

    def _hold(self) -> bool:
        """Hold the queue and return True; False where it cannot be held, which is asked only once."""
        if not self._no_hold:
            try:
                self._queue.hold(HOLD_LIMIT)
            except UnsupportedError as error:
                self._no_hold = str(error) or "the queue cannot be held"
        return not self._no_hold


@dataclass(slots=True)
class _Known:
    """What was found out about a call; `unheld` says why it is not held, `hides` that it works on another stream."""

    rehearsed: bool = False
    synchronises: bool = False
    unheld: str = ""
    hides: bool = False


@dataclass(frozen=True, slots=True)
class _Taken:
    """Seconds of one batch.

    `device` between the marks, `host` until the whole device was idle, `late` from the queue's end to the device's,
    `issue` to put the work in; and whether the queue was held, and its hold had given up before the work was in.
    """

    device: float
    host: float
    late: float
    issue: float
    held: bool
    expired: bool


@dataclass(frozen=True, slots=True)
class _Idle:
    """What an idle device shows: seconds between the marks of an empty pair, and of a wait for the whole device."""

    floor: float
    wait: float


@dataclass(frozen=True, slots=True, weakref_slot=True)
class _Replay:
    """A graph and the calls that it was recorded from."""

    replay: Call
    calls: tuple[Call, ...]

    def __call__(self) -> Any:
        return self.replay()


def _repeat(call: Call, calls: int) -> None:
    for _ in repeat(None, calls):
        call()


def _rounds(calls: Sequence[Call], repeats: int) -> None:
    for _ in range(repeats):
        for call in calls:
            call()


def _nothing() -> None:
    """Put nothing between the marks."""
