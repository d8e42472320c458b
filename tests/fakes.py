"""Stand-ins for time: a clock whose calls take as long as they say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dlbench.statistics import LOW_QUANTILE
from dlbench.timing.clock import Call


@dataclass
class FakeClock:
    """Virtual time. A call advances it by `cost()` seconds; nothing else does, but `sleep`."""

    cost: Callable[[], float] = lambda: 0.0
    tick: float = 1e-9
    quantile: float = LOW_QUANTILE
    moment: float = 0.0
    timed: list[int] = field(default_factory=list)
    observed: dict[str, Any] = field(default_factory=dict)

    def time(self, call: Call, calls: int) -> float:
        start = self.moment
        self.timed.append(calls)
        cost = sum(self._one(call) for _ in range(min(calls, 100))) * max(1, calls / 100)
        self.moment = start + cost
        return cost

    def _one(self, call: Call) -> float:
        call()
        return self.cost()

    def now(self) -> float:
        return self.moment

    def sleep(self, seconds: float) -> None:
        self.moment += seconds

    def observations(self) -> dict[str, Any]:
        seen, self.observed = self.observed, {}
        return seen
