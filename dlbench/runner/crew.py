"""The workers of a round: one per seat, replaced when lost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from dlbench.runner.protocol import Assignment, Failed, Ready, Release, Reply, Request, Seat, Settle
from dlbench.runner.worker import Worker, WorkerProcess

RELEASE_TIMEOUT = 30.0

Hire = Callable[[Assignment], Worker]
"""Start a worker; tests hire workers in this process."""
Assign = Callable[[Seat], Assignment]
"""Return the assignment for a seat."""


class Crew:
    """Asks the right worker, and puts a fresh one in the place of one that was lost."""

    def __init__(self, assign: Assign, hire: Hire = WorkerProcess) -> None:
        """Take how a seat's assignment is made and how a worker is started."""
        self._assign = assign
        self._hire = hire
        self._workers: dict[Seat, Worker] = {}
        self._refusals: dict[Seat, Failed] = {}
        self._environments: dict[Seat, Mapping[str, str]] = {}
        self._asked: Seat | None = None
        self._closed = False

    @property
    def environments(self) -> Mapping[Seat, Mapping[str, str]]:
        """Versions and flags of every backend that has started, by seat."""
        return self._environments

    @property
    def closed(self) -> bool:
        """Whether it has been sent home; it hires nobody then."""
        return self._closed

    def staff(self, seats: Iterable[Seat]) -> None:
        """Start a worker for every seat."""
        empty = [
            seat for seat in dict.fromkeys(seats) if not (seat in self._workers or seat in self._refusals)
        ]
        hired = [
            (seat, self._hire(self._assign(seat))) for seat in empty
        ]  # they import their frameworks side by side
        for seat, worker in hired:
            self._welcome(seat, worker)

    def ask(self, seat: Seat, request: Request, timeout: float) -> Reply:
        """Let the seat's worker answer; Failed with `lost` means that its seat is empty now.

        The worker that was asked before must be asleep by then, if it is another one.
        """
        if self._closed:
            return Failed("failed", "the run was interrupted", lost=True)
        if self._asked not in (None, seat):
            self._tell(self._asked, Settle())
        self._asked = seat
        worker = self._seat(seat)
        if isinstance(worker, Failed):
            return worker
        return self._told(seat, worker.ask(request, timeout))

    def release(self) -> None:
        """Let every worker free its tensors."""
        for seat in list(self._workers):
            self._tell(seat, Release())

    def _tell(self, seat: Seat, request: Settle | Release) -> None:
        """Let the worker in the seat do what takes no time worth telling, if there is one."""
        worker = self._workers.get(seat)
        if worker is not None:
            self._told(seat, worker.ask(request, RELEASE_TIMEOUT))

    def _told(self, seat: Seat, reply: Reply) -> Reply:
        """Return the reply; a worker that is lost leaves its seat."""
        if isinstance(reply, Failed) and reply.lost:
            self._dismiss(seat)
        return reply

    def close(self) -> None:
        """End every worker."""
        self._closed = True
        for seat in list(self._workers):
            self._dismiss(seat)

    def _seat(self, seat: Seat) -> Worker | Failed:
        """Return the worker in the seat, started if need be, or why there is none."""
        if seat in self._refusals:
            return self._refusals[seat]
        if seat not in self._workers:
            self._welcome(seat, self._hire(self._assign(seat)))
        return self._refusals.get(seat) or self._workers[seat]

    def _welcome(self, seat: Seat, worker: Worker) -> None:
        word = worker.ready()
        if isinstance(word, Ready):
            self._workers[seat] = worker
            self._environments[seat] = word.environment
            return
        worker.close()
        self._refusals[seat] = (
            word if isinstance(word, Failed) else Failed("failed", f"unexpected word: {word!r}")
        )

    def _dismiss(self, seat: Seat) -> None:
        worker = self._workers.pop(seat, None)
        if worker is not None:
            worker.close()
