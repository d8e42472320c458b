"""Watch a run: a progress bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from dlbench.results.measurement import CaseRecord, Visit
from dlbench.statistics import headline_quantile, quantile
from dlbench.units import format_duration

PLAIN_EVERY = 10
"""Without a terminal, a line each tenth of a round: a log should say how far it is, not repeat the table."""


def describe(case: CaseRecord) -> str:
    """Return a case in few words."""
    name = f"{case.suite}/{case.layer}" if case.layer else case.problem
    return f"{name} {case.implementation}"


def result(case: CaseRecord, visit: Visit) -> str:
    """Return a visit's outcome in few words."""
    quick = headline_quantile(case.device)
    outcome = format_duration(quantile(visit.samples, quick)) if visit.samples else visit.verdict
    return f"{describe(case)}: {outcome}"


class Plain:
    """Prints a line when a round begins, at each tenth of it, and for every failure."""

    def __init__(self, console: Console, after_round: Callable[[int, str], None]) -> None:
        """Take where to print, and what to do when a round is over."""
        self._console = console
        self._after_round = after_round
        self._round = self._cases = self._done = 0

    def noted(self, text: str) -> None:
        """Say it."""
        self._say(text)

    def started(self, run_id: str, cases: int, kept: int) -> None:
        """Name the run."""
        resumed = f", {kept} already visited" if kept else ""
        self._say(f"run {run_id}: {cases} cases{resumed}")

    def round_started(self, number: int, cases: int, seconds_left: float | None) -> None:
        """Say what the round will do."""
        self._round, self._cases, self._done = number, cases, 0
        left = "" if seconds_left is None else f", {format_duration(seconds_left)} of the budget left"
        self._say(f"round {number}: {cases} cases{left}")

    def visiting(self, case: CaseRecord) -> None:
        """Say nothing: the result follows."""

    def visited(self, case: CaseRecord, visit: Visit) -> None:
        """Say how far the round is, or that a case failed."""
        before, self._done = self._done, self._done + 1
        step = max(1, self._cases // PLAIN_EVERY)
        if not visit.samples:
            self._say(f"  {result(case, visit)}: {visit.reason}")
        elif before // step != self._done // step:
            self._say(f"  {self._done}/{self._cases} {result(case, visit)}")

    def round_ended(self, number: int, run_id: str) -> None:
        """Do what is to be done after a round."""
        self._after_round(number, run_id)

    def close(self) -> None:
        """Nothing to end."""

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, highlight=False, soft_wrap=True)


class Live:
    """A progress bar with what runs now, its last result and the time left."""

    def __init__(self, console: Console, after_round: Callable[[int, str], None]) -> None:
        """Take the terminal, and what to do when a round is over."""
        self._after_round = after_round
        self._progress = Progress(
            TextColumn("{task.fields[round]}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("[bold]{task.fields[now]}[/] [dim]{task.fields[last]}[/]"),
            console=console,
            transient=True,
        )
        self._task: TaskID = self._progress.add_task("", round="", left="", now="", last="")
        self._console = console
        self._budget_end: float | None = None
        self._open = True
        self._progress.start()

    def noted(self, text: str) -> None:
        """Say it above the bar."""
        self._console.print(text, markup=False, highlight=False)

    def started(self, run_id: str, cases: int, kept: int) -> None:
        """Name the run."""
        resumed = f", {kept} already visited" if kept else ""
        self._console.print(f"run {run_id}: {cases} cases{resumed}", markup=False, highlight=False)

    def round_started(self, number: int, cases: int, seconds_left: float | None) -> None:
        """Begin the bar anew."""
        now = self._progress.get_time()
        self._budget_end = None if seconds_left is None else now + seconds_left
        self._progress.reset(self._task, total=cases, round=f"round {number}", left="", now="", last="")

    def visiting(self, case: CaseRecord) -> None:
        """Show what runs now."""
        self._progress.update(self._task, now=escape(describe(case)), left=self._left())

    def visited(self, case: CaseRecord, visit: Visit) -> None:
        """Show the result."""
        self._progress.update(
            self._task, advance=1, last=escape(f"(last: {result(case, visit)})"), left=self._left()
        )

    def round_ended(self, number: int, run_id: str) -> None:
        """Do what is to be done after a round, the bar out of the way."""
        self._progress.stop()
        self._after_round(number, run_id)
        if self._open:
            self._progress.start()

    def close(self) -> None:
        """Take the bar away."""
        self._open = False
        self._progress.stop()

    def _left(self) -> str:
        """Return the time left: of the budget, or as the bar's own speed tells."""
        if self._budget_end is not None:
            return f"{max(0.0, self._budget_end - self._progress.get_time()):.0f} s left"
        remaining = self._progress.tasks[0].time_remaining
        return "" if remaining is None else f"about {remaining:.0f} s left"
