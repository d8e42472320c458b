"""When a case has been measured well enough."""

from __future__ import annotations

from dataclasses import dataclass

from dlbench.statistics import LOW_QUANTILE, Rounds, estimate


@dataclass(frozen=True, slots=True)
class Precision:
    """Stop when the 95 % interval's half width is within `target` of the value, after enough rounds.

    `min_rounds`: below three, the spread between processes is little more than its prior. `max_rounds`: what has
    not converged by then has a cause that more rounds do not cure.
    """

    target: float = 0.02
    min_rounds: int = 3
    max_rounds: int = 10
    quantile: float = LOW_QUANTILE

    def wants_more(self, rounds: Rounds) -> bool:
        """Return whether another round would help a case with these rounds of samples."""
        if len(rounds) < self.min_rounds:
            return True
        return len(rounds) < self.max_rounds and not self.met(rounds)

    def met(self, rounds: Rounds) -> bool:
        """Return whether the interval is as narrow as asked."""
        return bool(rounds) and len(rounds) >= self.min_rounds and self.half_width(rounds) <= self.target

    def half_width(self, rounds: Rounds) -> float:
        """Return the interval's half width over the value."""
        return estimate(rounds, self.quantile).half_width
