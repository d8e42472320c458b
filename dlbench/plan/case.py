"""The Case: a Problem, a Variant and a Device, which is one row of the final table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from dlbench.ops.problem import Problem

Cache = Literal["hot", "cold"]
Launch = Literal["eager", "graph"]
Mode = Literal["default", "all-plans"]

GRAPH = "graph"
CUDNN_BENCHMARK = "cudnn.benchmark"


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
    `baseline` is the variant that the speed-up is over, written `backend:variant`, or empty. `layout` is the order of
    the axes in memory where it is not the op's own. How the call is made, where that is not the ordinary way, stand in
    `launch` (`graph`: replayed from a CUDA graph), `mode` (`all-plans`: cuDNN's plans are timed one by one) and
    `cudnn_benchmark` (cuDNN tries its algorithms first and keeps the fastest). `files` are the user's own in which the
    variant stands, or one of which failed where it may have stood.
    """

    problem: Problem
    variant: Variant
    device: str
    cache: Cache = "hot"
    suite: str = ""
    layer: str = ""
    count: int = 1
    baseline: str = ""
    layout: str = ""
    launch: Launch = "eager"
    mode: Mode = "default"
    cudnn_benchmark: bool = False
    files: tuple[str, ...] = ()

    @property
    def flags(self) -> tuple[str, ...]:
        """What is out of the ordinary in how the call is made, as the table's column `flags` has it."""
        switched = {
            CUDNN_BENCHMARK: self.cudnn_benchmark,
            GRAPH: self.launch == GRAPH,
            self.mode: self.mode != "default",
        }
        return tuple(flag for flag, on in switched.items() if on)

    @property
    def group(self) -> str:
        """What cases share that are sampled in turn and compared: the problem, the cache state and the layer.

        The layout and the flags are ways to compute the same, and are compared with one another.
        """
        return f"{self.problem.key}|{self.cache}|{self.suite}|{self.layer}"

    @property
    def key(self) -> str:
        """A stable identity within a run and across runs."""
        unusual = "".join(f"|{word}" for word in (self.layout, *self.flags) if word)
        return f"{self.group}|{self.variant}|{self.device}{unusual}"
