"""What a benchmark is given: its arguments, the loop that is timed, and where it puts what it has to tell."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from itertools import chain, repeat
from typing import Any, NoReturn

from dlbench.errors import UnsupportedError


class BenchmarkError(Exception):
    """A benchmark that is not written as one; the message says how to write it."""


class Paused(BenchmarkError):  # noqa: N818 - it names the mistake
    """pause and resume do not go together."""


class State:
    """Iterate over it once, in the middle of the benchmark: what stands in the loop is timed, nothing else.

    `args` are the positional arguments, and each named one is an attribute of its name. `items`, `bytes` and `flops` are
    what one iteration works through, for rates; `counter` holds numbers of your own, which are kept with the row.
    """

    __slots__ = (
        "_ask",
        "_looped",
        "_now",
        "_params",
        "_running",
        "_since",
        "_spent",
        "_tell",
        "args",
        "bytes",
        "counter",
        "flops",
        "items",
    )

    def __init__(
        self,
        args: tuple[Any, ...],
        params: Mapping[str, Any],
        ask: Callable[[], int],
        tell: Callable[[int, int], None],
        now: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        """Take the arguments, who says how many iterations come next (0: none) and who is told their nanoseconds.

        `tell` is given the nanoseconds that count, and those that have passed.
        """
        self.args = args
        self.items: float | None = None
        self.bytes: float | None = None
        self.flops: float | None = None
        self.counter: dict[str, float] = {}
        self._params = params
        self._ask = ask
        self._tell = tell
        self._now = now
        self._looped = False
        self._running = False
        self._since = 0
        self._spent = 0

    def __getattr__(self, name: str) -> Any:
        """Return the argument of that name."""
        if name in self._params:
            return self._params[name]
        known = ", ".join(self._params) or "none"
        raise AttributeError(f"the state has no `{name}`; this benchmark's named arguments: {known}")

    def __iter__(self) -> Iterator[None]:
        """Begin the loop: batch after batch of iterations, each timed as a whole.

        The iterations themselves are made by C code, so that one costs some ten nanoseconds and no Python frame.
        """
        if self._looped:
            raise BenchmarkError(
                "loops over its state twice; a benchmark has one loop: write a second benchmark, or put both into one loop"
            )
        self._looped = True
        return chain.from_iterable(self._batches())

    def _batches(self) -> Iterator[Iterator[None]]:
        while calls := self._ask():
            self._spent = 0
            self._running = True
            begun = self._since = self._now()
            yield repeat(None, calls)
            end = self._now()
            if not self._running:
                raise Paused(
                    "ends an iteration while it is paused: call state.resume() before the loop goes on"
                )
            self._running = False
            self._tell(self._spent + end - self._since, end - begun)

    @property
    def looped(self) -> bool:
        """Whether the loop has begun."""
        return self._looped

    def pause(self) -> None:
        """Stop the stopwatch until `resume`: what comes between is not counted."""
        now = self._now()
        if not self._running:
            raise Paused("calls state.pause() outside its loop, or twice")
        self._spent += now - self._since
        self._running = False

    def resume(self) -> None:
        """Start the stopwatch again."""
        if self._running or not self._looped:
            raise Paused("calls state.resume() without state.pause() before it")
        self._running = True
        self._since = self._now()

    def skip(self, reason: str) -> NoReturn:
        """End the benchmark: its row is `unsupported`, for this reason."""
        raise UnsupportedError(reason)
