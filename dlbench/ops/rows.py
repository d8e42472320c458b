"""What ops on the rows of one matrix share."""

from __future__ import annotations

from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Op, Shape


class OverRows(Op):
    """An op whose only input is a matrix x of rows × cols."""

    rows: Extent
    cols: Extent

    def label(self) -> str:
        """Return "128×1000"."""
        return f"{self.rows}×{self.cols}"

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return x."""
        return {"x": (self.rows, self.cols)}
