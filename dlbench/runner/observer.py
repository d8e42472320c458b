"""What a run tells whoever watches it."""

from __future__ import annotations

from typing import Protocol

from dlbench.results.measurement import CaseRecord, Visit


class Observer(Protocol):
    """Somebody who watches a run: a progress bar, plain lines, a test."""

    def noted(self, text: str) -> None:
        """Something happens that a watcher would wonder about."""

    def started(self, run_id: str, cases: int, kept: int) -> None:
        """A run has so many cases, of which an earlier start has already visited `kept`."""

    def round_started(self, number: int, cases: int, seconds_left: float | None) -> None:
        """A round will visit so many cases; `seconds_left` of the budget, None without one."""

    def visiting(self, case: CaseRecord) -> None:
        """A case is being measured now."""

    def visited(self, case: CaseRecord, visit: Visit) -> None:
        """A case's visit is in the store."""

    def round_ended(self, number: int, run_id: str) -> None:
        """A round is over, its visits are in the store."""


class Silent:
    """An observer that says nothing."""

    def noted(self, text: str) -> None:
        """Say nothing."""

    def started(self, run_id: str, cases: int, kept: int) -> None:
        """Say nothing."""

    def round_started(self, number: int, cases: int, seconds_left: float | None) -> None:
        """Say nothing."""

    def visiting(self, case: CaseRecord) -> None:
        """Say nothing."""

    def visited(self, case: CaseRecord, visit: Visit) -> None:
        """Say nothing."""

    def round_ended(self, number: int, run_id: str) -> None:
        """Say nothing."""
