"""Functions of single elements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Op, Shape
from dlbench.units import format_count


class Relu(Op):
    """y = max(x, 0) of each of n elements: one operation (the comparison), one read and one write."""

    name: ClassVar[str] = "relu"
    summary: ClassVar[str] = "rectified linear unit, max(x, 0)"

    n: Extent

    def label(self) -> str:
        """Return the number of elements."""
        return format_count(self.n)

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return x."""
        return {"x": (self.n,)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y."""
        return {"y": (self.n,)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1 per element."""
        return self.n

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1: nothing is summed over elements."""
        return 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return x where it is positive, 0 elsewhere."""
        return {"y": np.maximum(inputs["x"], 0.0)}
