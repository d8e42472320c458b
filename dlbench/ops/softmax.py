"""softmax and its logarithm over the last axis."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.op import Direction, Distribution, Shape
from dlbench.ops.rows import OverRows

OPERATIONS = 5
"""Counted per element of either op, as the stable algorithm has them: the comparison for the largest, its
subtraction, the exponential as one operation, the addition to the sum, and the division by the sum
(log_softmax: the subtraction of its logarithm). A convention: torch.utils.flop_counter counts neither op."""
BACKWARD_OPERATIONS = 4
"""Counted per element of either gradient. softmax: the product y · dy and its addition to the row's sum, the sum's
subtraction, the product with y. log_softmax: the addition of dy to the row's sum, the exponential, its product with the
sum, the subtraction."""
TAMED = 8
"""What whole-numbered x are divided by before a gradient's y is made of them. A row's whole weight would be on its largest
one otherwise, and dx of softmax, which is y (dy - sum), the small difference of nearly equal numbers."""


class _OverRows(OverRows):
    """An op on each row of a matrix by itself."""

    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")

    @abstractmethod
    def value(self, x: Array) -> Array:
        """Return the op of every row."""

    @abstractmethod
    def gradient(self, y: Array, dy: Array) -> Array:
        """Return dx from what the op gave."""

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x; backward, y and dy."""
        return dict.fromkeys(("x",) if direction == "forward" else ("y", "dy"), (self.rows, self.cols))

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y or dx."""
        return {"y" if direction == "forward" else "dx": (self.rows, self.cols)}

    def flops(self, direction: Direction) -> int:
        """Return 5 per element, 4 backward."""
        return (OPERATIONS if direction == "forward" else BACKWARD_OPERATIONS) * self.rows * self.cols

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - in both
        """Return the columns, which are summed."""
        return self.cols

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the op of every row, or dx."""
        if direction == "forward":
            return {"y": self.value(inputs["x"])}
        return {"dx": self.gradient(inputs["y"], inputs["dy"])}

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single outputs, each from its own row."""
        rows, columns = np.divmod(positions, self.cols)
        there = {name: values[rows] for name, values in inputs.items()}
        return self.reference(direction, there)[output][np.arange(rows.size), columns]

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; y of a gradient is what the op gives for a random x."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        if "y" in inputs:
            x = inputs["y"] / TAMED if distribution == "integers" else inputs["y"]
            inputs["y"] = rounded(self.value(x), dtype)
        return inputs


class Softmax(_OverRows):
    """y = exp(x - max) / sum of exp(x - max), row by row; backward, dx = y (dy - sum of y dy)."""

    name: ClassVar[str] = "softmax"
    summary: ClassVar[str] = "softmax over rows"

    def value(self, x: Array) -> Array:
        """Return the softmax of every row."""
        powers: Array = np.exp(x - x.max(axis=-1, keepdims=True))
        powers /= powers.sum(axis=-1, keepdims=True)
        return powers

    def gradient(self, y: Array, dy: Array) -> Array:
        """Return y (dy - sum of y dy)."""
        dx: Array = y * (dy - (y * dy).sum(axis=-1, keepdims=True))
        return dx

    def crest(self, direction: Direction) -> float:
        """Return how much farther the largest output stands out than that of normal data.

        The largest of N normal inputs is about z = sqrt(2 ln N), and the root mean square of exp(x) is e, so
        that the largest output is about exp(z - 1) root mean squares: 118 for 4096 × 4096 (148 measured),
        where that of normal data is z, here 6. It never exceeds the columns, since a row of sum 1 has a mean
        of 1/cols.

        A gradient is such an output times a normal number. The largest of N pairs exp(a) g is where a² + g² = z² and
        a + ln g is largest, at g² = a: a = (sqrt(1 + 4 z²) - 1) / 2. It never exceeds the columns times z.
        """
        z = math.sqrt(2 * math.log(self.rows * self.cols + 1))
        if direction == "forward":
            return max(1.0, min(math.exp(z - 1), self.cols) / z)
        a = (math.sqrt(1 + 4 * z**2) - 1) / 2
        return max(1.0, min(math.exp(a - 1) * math.sqrt(a), self.cols * z) / z)


class LogSoftmax(_OverRows):
    """y = x - max - log of the sum of exp(x - max), row by row; backward, dx = dy - exp(y) · sum of dy."""

    name: ClassVar[str] = "log_softmax"
    summary: ClassVar[str] = "logarithm of softmax over rows"

    def value(self, x: Array) -> Array:
        """Return the logarithm of the softmax of every row."""
        shifted: Array = x - x.max(axis=-1, keepdims=True)
        shifted -= np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
        return shifted

    def gradient(self, y: Array, dy: Array) -> Array:
        """Return dy - exp(y) · sum of dy."""
        dx: Array = dy - np.exp(y) * dy.sum(axis=-1, keepdims=True)
        return dx
