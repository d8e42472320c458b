"""A function of the user's own in an op's place: what it computes is known to itself alone.

It is in no catalogue: a config does not name it, and nothing but its own file can compute it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

from pydantic import Field

from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction, Distribution, Op, Shape
from dlbench.ops.problem import Problem

PYTHON = "python"
"""What a row of such a function has for a backend: Python itself."""
Argument = int | float | bool | str | None
"""What a function can be measured with: plain values, which every process and every file format has."""

_NO_DIRECTION, _NO_DATA = cast(Direction, ""), cast(Distribution, "")


class Function(Op):
    """A function and the arguments of one row. It has no tensors, no reference and no operations that we could count."""

    summary: ClassVar[str] = "a function of the user's own"

    function: str
    args: tuple[Argument, ...] = ()
    params: dict[str, Argument] = Field(default_factory=dict)

    @property
    def name(self) -> str:  # type: ignore[override]  # each function has one of its own, where an op's class has it
        """What the user calls it."""
        return self.function

    @property
    def arguments(self) -> dict[str, Argument]:
        """The arguments by name; `args[0]` is the name of the first positional one."""
        return {f"args[{index}]": value for index, value in enumerate(self.args)} | self.params

    def label(self) -> str:
        """Return "8, n=64"."""
        named = (f"{name}={value}" for name, value in self.params.items())
        return ", ".join([*map(str, self.args), *named])

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - it has none
        """Return no tensors."""
        return {}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - it has none
        """Return no tensors."""
        return {}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - they become known when it runs, if it tells them
        """Return 0: unknown."""
        return 0

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - nothing is compared
        """Return 1."""
        return 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return no tensors."""
        return {}


@dataclass(frozen=True, slots=True)
class FunctionProblem(Problem):
    """A function's problem: it has no dtype, direction and data, which the table therefore leaves empty."""

    op: Function
    dtype: str = ""
    direction: Direction = _NO_DIRECTION
    data: Distribution = _NO_DATA

    @property
    def label(self) -> str:
        """The function's name and its arguments."""
        return f"{self.op.name} {self.op.label()}".rstrip()

    @property
    def params(self) -> str:
        """The arguments as canonical JSON."""
        return json.dumps(self.op.arguments, sort_keys=True)

    @property
    def traffic(self) -> int:
        """0: unknown."""
        return 0

    @property
    def input_bytes(self) -> int:
        """0: unknown."""
        return 0
