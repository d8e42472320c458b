"""The Case: a Problem, a Variant and a Device, which is one row of the final table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from dlbench.ops.problem import Problem

Cache = Literal["hot", "cold"]


class Variant(NamedTuple):
    """One way a backend computes an op, written `backend:variant`."""

    backend: str
    name: str

    def __str__(self) -> str:
        return f"{self.backend}:{self.name}"


@dataclass(frozen=True, slots=True)
class Case:
    """What is measured in one row, and where it comes from.

    `suite`, `layer` and `count` say which network's layer the problem is and how often it occurs there.
    `baseline` is the variant that the speed-up is over, written `backend:variant`, or empty.
    """

    problem: Problem
    variant: Variant
    device: str
    cache: Cache = "hot"
    suite: str = ""
    layer: str = ""
    count: int = 1
    baseline: str = ""

    @property
    def group(self) -> str:
        """What cases share that are sampled in turn and compared: the problem, the cache state and the layer."""
        return f"{self.problem.key}|{self.cache}|{self.suite}|{self.layer}"

    @property
    def key(self) -> str:
        """A stable identity within a run and across runs."""
        return f"{self.group}|{self.variant}|{self.device}"
