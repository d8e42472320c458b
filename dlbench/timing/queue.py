"""The Queue: one accelerator's stream of work, as a framework gives it; what the event clock needs of it, and no more."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol

from dlbench.timing.clock import Call

Mark = Any
"""A moment in a queue: a timing event of the framework."""


class Queue(Protocol):
    """A stream of its own on one accelerator. Work goes on behind the host's back until the host waits.

    A framework's folder implements it with its streams and events, and the tests with a simulated device.
    """

    @property
    def resolution(self) -> float:
        """The smallest time between two marks that can be told apart, in seconds."""

    @property
    def cache_bytes(self) -> int:
        """The size of the device's last-level cache in bytes."""

    def active(self) -> AbstractContextManager[object]:
        """Return the context in which whatever the framework is asked for goes to this queue."""

    def record(self) -> Mark:
        """Put a mark into the queue."""

    def elapsed(self, start: Mark, end: Mark) -> float:
        """Return the device's seconds between two marks that the queue has passed."""

    def wait(self) -> None:
        """Return when the queue is empty."""

    def wait_device(self) -> None:
        """Return when every queue of the device is empty."""

    def hold(self, limit: float) -> None:
        """Put in a kernel that keeps later work from starting until `release`, for at most `limit` seconds.

        Raises UnsupportedError where the framework cannot.
        """

    def release(self) -> bool:
        """Let the held work go; return whether it was still held, False where the limit had passed."""

    def flush(self) -> None:
        """Put in the overwriting of a buffer twice as large as the cache, allocated once."""

    def capture(self, work: Callable[[], None]) -> Call:
        """Record what the work puts into this queue as a graph, and return a call that puts the graph in.

        Raises UnsupportedError, with the reason, where the framework or the work does not allow it.
        """

    def synchronises(self, call: Call) -> bool:
        """Make the call once and return whether it makes the host wait for the device; False where that cannot be told."""

    def now(self) -> float:
        """Return host seconds since some fixed moment."""

    def sleep(self, seconds: float) -> None:
        """Let host time pass."""
