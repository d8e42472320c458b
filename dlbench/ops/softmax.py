"""softmax and its logarithm over the last axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Op, Shape

OPERATIONS = 5
"""Counted per element of either op, as the stable algorithm has them: the comparison for the largest, its
subtraction, the exponential as one operation, the addition to the sum, and the division by the sum
(log_softmax: the subtraction of its logarithm). A convention: torch.utils.flop_counter counts neither op."""


class _OverRows(Op):
    """An op over the rows of a matrix."""

    rows: Extent
    cols: Extent

    def label(self) -> str:
        """Return "128×1000"."""
        return f"{self.rows}×{self.cols}"

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return x."""
        return {"x": (self.rows, self.cols)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y."""
        return {"y": (self.rows, self.cols)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 5 per element."""
        return OPERATIONS * self.rows * self.cols

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return the columns, which are summed."""
        return self.cols


class Softmax(_OverRows):
    """y = exp(x - max) / sum of exp(x - max), row by row."""

    name: ClassVar[str] = "softmax"
    summary: ClassVar[str] = "softmax over rows"

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the softmax of every row."""
        powers = np.exp(inputs["x"] - inputs["x"].max(axis=-1, keepdims=True))
        return {"y": powers / powers.sum(axis=-1, keepdims=True)}

    def crest(self, direction: Direction) -> float:  # noqa: ARG002 - forward only
        """Return how much farther the largest output stands out than that of normal data.

        The largest of N normal inputs is about z = sqrt(2 ln N), and the root mean square of exp(x) is e, so
        that the largest output is about exp(z - 1) root mean squares: 118 for 4096 × 4096 (148 measured),
        where that of normal data is z, here 6. It never exceeds the columns, since a row of sum 1 has a mean
        of 1/cols.
        """
        z = math.sqrt(2 * math.log(self.rows * self.cols + 1))
        return max(1.0, min(math.exp(z - 1), self.cols) / z)


class LogSoftmax(_OverRows):
    """y = x - max - log of the sum of exp(x - max), row by row."""

    name: ClassVar[str] = "log_softmax"
    summary: ClassVar[str] = "logarithm of softmax over rows"

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the logarithm of the softmax of every row."""
        shifted = inputs["x"] - inputs["x"].max(axis=-1, keepdims=True)
        return {"y": shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))}
