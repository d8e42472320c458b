"""The four kernels of STREAM, which measure memory (J. D. McCalpin, STREAM benchmark, 1995)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Op, Shape
from dlbench.units import format_count

SCALAR = 3.0
"""The factor in scale and triad, as STREAM has it."""


class _Stream(Op):
    """An op on vectors of n elements.

    Traffic is one read of each operand and one write of c: 2, 2, 3 and 3 vectors. The line that a store first
    reads (write-allocate) is not counted, as in STREAM.
    """

    operands: ClassVar[tuple[str, ...]] = ("a",)
    operations: ClassVar[int] = 0

    n: Extent

    def label(self) -> str:
        """Return the number of elements."""
        return format_count(self.n)

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return the vectors that are read."""
        return dict.fromkeys(self.operands, (self.n,))

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return the vector that is written."""
        return {"c": (self.n,)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 0, 1 or 2 per element."""
        return self.operations * self.n

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1: nothing is summed over elements."""
        return 1


class Copy(_Stream):
    """c = a."""

    name: ClassVar[str] = "copy"
    summary: ClassVar[str] = "STREAM copy"

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return a."""
        return {"c": inputs["a"].copy()}


class Scale(_Stream):
    """c = 3 a."""

    name: ClassVar[str] = "scale"
    summary: ClassVar[str] = "STREAM scale"
    operations: ClassVar[int] = 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return 3 a."""
        return {"c": SCALAR * inputs["a"]}


class Add(_Stream):
    """c = a + b."""

    name: ClassVar[str] = "add"
    summary: ClassVar[str] = "STREAM add"
    operands: ClassVar[tuple[str, ...]] = ("a", "b")
    operations: ClassVar[int] = 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return a + b."""
        return {"c": inputs["a"] + inputs["b"]}


class Triad(_Stream):
    """c = a + 3 b."""

    name: ClassVar[str] = "triad"
    summary: ClassVar[str] = "STREAM triad"
    operands: ClassVar[tuple[str, ...]] = ("a", "b")
    operations: ClassVar[int] = 2

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return a + 3 b."""
        return {"c": inputs["a"] + SCALAR * inputs["b"]}
