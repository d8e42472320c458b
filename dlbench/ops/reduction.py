"""Sums over the last axis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Op, Shape


class Sum(Op):
    """y[i] = sum of row i of a matrix of rows × cols.

    One addition is counted per element, as into a sum that starts at 0. Traffic is one read of the matrix and one
    write of the sums.
    """

    name: ClassVar[str] = "sum"
    summary: ClassVar[str] = "sum of each row"

    rows: Extent
    cols: Extent

    def label(self) -> str:
        """Return "128×1000"."""
        return f"{self.rows}×{self.cols}"

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return x."""
        return {"x": (self.rows, self.cols)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y, which has one element for each row."""
        return {"y": (self.rows,)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1 per element of x."""
        return self.rows * self.cols

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return the columns."""
        return self.cols

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the sums."""
        return {"y": inputs["x"].sum(axis=-1)}
