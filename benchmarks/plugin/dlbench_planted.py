"""A backend with a regression planted: numpy's variants, with a known share of their work done again in every call."""

from __future__ import annotations

from collections.abc import Callable

from dlbench.backends.backend import BackendSpec, Implementation, Tensor
from dlbench.backends.numpy.backend import NumpyBackend
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

SHARES = {"same": 0.0, "more5": 0.05, "more10": 0.10}
"""How much of the work is done a second time."""
ROWS = {"matmul": "m", "softmax": "rows", "log_softmax": "rows"}
"""The extent that is cut for the second time; the vectors' ops have `n`."""
SPEC = BackendSpec(
    name="planted",
    module="dlbench_planted",
    factory="PlantedBackend",
    requires="numpy",
    install="pip install numpy",
    variants={name: f"numpy, {share:.0%} of the rows computed twice" for name, share in SHARES.items()},
)
OPS = {"matmul": "library"} | dict.fromkeys(
    ("softmax", "log_softmax", "copy", "scale", "add", "triad"), "native"
)
"""numpy's variant of each op that is made slower."""


class PlantedBackend(NumpyBackend):
    """numpy, with some work done again."""

    spec = SPEC

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        """Return numpy's implementations with each share of extra work."""
        known = {(one.op, one.variant): one for one in NumpyBackend.implementations()}
        found = []
        for op, variant in OPS.items():
            one = known[op, variant]
            for name, share in SHARES.items():
                found.append(Implementation(op, name, one.directions, one.dtypes, _with_more(one, share)))
        return tuple(found)


def _with_more(one: Implementation, share: float) -> Callable[..., Call]:
    """Return how the implementation is prepared to compute the first rows again in each call."""

    def prepare(problem: Problem, *tensors: Tensor) -> Call:
        whole = one.prepare(problem, *tensors)
        if share == 0:
            return whole
        part = one.prepare(*_first_rows(problem, tensors, share))

        def call() -> Tensor:
            part()
            return whole()

        return call

    return prepare


def _first_rows(problem: Problem, tensors: tuple[Tensor, ...], share: float) -> tuple[object, ...]:
    axis = ROWS.get(problem.op.name, "n")
    sizes = problem.op.model_dump()
    sizes[axis] = rows = round(sizes[axis] * share)
    small = Problem(type(problem.op)(**sizes), problem.dtype, problem.direction, problem.data)
    cut = tensors[:1] if axis == "m" else tensors  # a product's second factor stays whole
    return small, *(tensor[:rows] for tensor in cut), *tensors[len(cut) :]
