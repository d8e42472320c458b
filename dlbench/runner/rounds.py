"""Who is measured next, and how long: pure decisions over what is known so far."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from dlbench.plan.case import Case
from dlbench.plan.estimate import memory
from dlbench.results.measurement import FAILURES, Visit
from dlbench.runner.protocol import Seat
from dlbench.timing.stopping import Precision

SITTING = 5.0
"""Seconds of sampling in one sitting at most: long against the spells in which a processor keeps one clock, and about what an
interruption may cost, since a visit is kept when its sitting ends."""


@dataclass
class Standing:
    """What is known so far of one case of one arm of the session."""

    case: Case
    visits: list[Visit] = field(default_factory=list)
    arm: int = 0
    _width: tuple[int, float] = field(default=(0, float("inf")), repr=False, compare=False)

    @property
    def rounds(self) -> list[tuple[float, ...]]:
        """The samples of every round that has any."""
        return [visit.samples for visit in self.visits if visit.samples]

    @property
    def failure(self) -> Visit | None:
        """The visit that failed, if one did; a case that failed is not visited again."""
        return next((visit for visit in self.visits if visit.verdict in FAILURES), None)

    @property
    def seat(self) -> Seat:
        """Who computes it."""
        return Seat(self.arm, self.case.variant.backend, self.case.device, self.case.files)

    def visited_in(self, number: int) -> bool:
        """Return whether the round has seen this case."""
        return any(visit.round == number for visit in self.visits)

    def cost(self) -> float:
        """Return the seconds of the dearest visit so far, 0 where there was none."""
        return max((visit.duration for visit in self.visits), default=0.0)

    def half_width(self, precision: Precision) -> float:
        """Return the interval's half width over the value; the bootstrap behind it runs once a visit."""
        if self._width[0] != len(self.visits):
            self._width = (len(self.visits), precision.on(self.case.device).half_width(self.rounds))
        return self._width[1]


def due(standings: Iterable[Standing], number: int, precision: Precision) -> list[Standing]:
    """Return the cases that the round must visit: those whose interval is still wider than asked.

    Where only the budget ends the run, every case is wanted for ever: from when all have the fewest rounds, each round
    goes to the half of the cases whose intervals are widest. With several arms a problem is visited on all of them or on
    none, since only shared rounds can be compared.
    """
    able = [one for one in standings if one.failure is None and not one.visited_in(number)]
    if number == 1:
        return able
    wanted = [one for one in able if precision.wants_more(len(one.rounds), one.half_width(precision))]
    if precision.enough == 0 and number > precision.min_rounds and wanted:
        middle = statistics.median_low([one.half_width(precision) for one in wanted])
        wanted = [one for one in wanted if one.half_width(precision) >= middle]
    if len({one.arm for one in able}) < 2:
        return wanted
    shared = {one.case.group for one in wanted}
    return [one for one in able if one.case.group in shared]


def shuffled_groups(standings: Sequence[Standing], rng: random.Random) -> list[list[Standing]]:
    """Return the cases by problem, the problems and the variants inside each in random order."""
    groups: dict[str, list[Standing]] = {}
    for standing in standings:
        groups.setdefault(standing.case.group, []).append(standing)
    order = list(groups.values())
    rng.shuffle(order)
    for group in order:
        rng.shuffle(group)
    return order


def widest_first(
    groups: Sequence[list[Standing]], precision: Precision, seconds: float
) -> list[list[Standing]]:
    """Return the groups that fit into the time left, keeping their order, the widest intervals preferred.

    A group's cost is what its cases' dearest visits took. Without a visit so far the cost is unknown, and the group stays.
    """
    costs = [cost(group) for group in groups]
    if sum(costs) <= seconds:
        return list(groups)
    need = [max(standing.half_width(precision) for standing in group) for group in groups]
    chosen: set[int] = set()
    for index in sorted(range(len(groups)), key=lambda i: -need[i]):
        if costs[index] <= seconds:
            chosen.add(index)
            seconds -= costs[index]
    return [group for index, group in enumerate(groups) if index in chosen]


def cost(group: Iterable[Standing]) -> float:
    """Return the seconds that a visit to the group will take."""
    return sum(standing.cost() for standing in group)


def visit_seconds(base: float, overhead: float, cases: int, left: float, rounds: int) -> float:
    """Return how long to sample each case of a round where a budget alone ends the run, at least `base` seconds.

    A round costs `overhead` seconds besides its samples: starting, verifying, warming up. Sampling may take as long again,
    as far as so many `rounds` that are still wanted, or those of them that there is time for, fit into the seconds left.
    """
    shortest = overhead + base * cases
    fitting = max(1, min(rounds, int(left / shortest)))
    return max(base, min(overhead, left / fitting - overhead) / cases)


def sittings(
    groups: Iterable[list[Standing]], seconds: float, memory_limit: int
) -> Iterator[list[list[Standing]]]:
    """Return the groups in bundles that are prepared together: what their tensors hold is bounded, and so is the time.

    A visit samples each case for so many `seconds`; `memory_limit` is in bytes. A group too large stands alone.
    """
    bundle: list[list[Standing]] = []
    sampling, held = 0.0, 0
    for group in groups:
        takes, holds = seconds * len(group), _memory(group)
        if bundle and (sampling + takes > SITTING or held + holds > memory_limit):
            yield bundle
            bundle, sampling, held = [], 0.0, 0
        bundle.append(group)
        sampling, held = sampling + takes, held + holds
    if bundle:
        yield bundle


def _memory(group: Sequence[Standing]) -> int:
    """Return the bytes of the group's tensors in all the processes that hold them."""
    return memory(group[0].case.problem) * len({standing.seat for standing in group})


def merged(readings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the conditions of a visit from those of its turns.

    Switches, steal and discarded samples add up, of clocks the lowest counts, of the host's time the median, of texts each
    different one; of all else the largest.
    """
    names = dict.fromkeys(name for reading in readings for name in reading)
    return {name: _merged(name, [reading[name] for reading in readings if name in reading]) for name in names}


def _merged(name: str, values: Sequence[Any]) -> Any:
    if all(isinstance(value, str) for value in values):
        return "; ".join(dict.fromkeys(values))
    merge: Callable[[Sequence[Any]], Any] = _MERGES.get(name, max)
    return merge(values)


_MERGES: Mapping[str, Callable[[Sequence[Any]], Any]] = MappingProxyType(
    {
        "switches": sum,
        "steal": sum,
        "discarded": sum,
        "sm_clock_mhz": min,
        "host_us": statistics.median,
        "power_w": statistics.median,
    }
)
