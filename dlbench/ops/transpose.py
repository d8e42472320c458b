"""The transpose of a matrix, in memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction, Shape
from dlbench.ops.rows import OverRows


class Transpose(OverRows):
    """y[j, i] = x[i, j], x of rows × cols, y contiguous: no operations, one read and one write of each element."""

    name: ClassVar[str] = "transpose"
    summary: ClassVar[str] = "transpose of a matrix into memory of its own"

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y, of cols × rows."""
        return {"y": (self.cols, self.rows)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 0."""
        return 0

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1: nothing is summed."""
        return 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the transpose, contiguous."""
        return {"y": np.array(inputs["x"].T, order="C")}
