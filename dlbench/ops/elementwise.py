"""Arithmetic on single elements."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.elements import OverElements
from dlbench.ops.op import Direction, Distribution, Shape
from dlbench.ops.rows import OverRows


class _Arithmetic(OverElements):
    """y of each of n elements from the operands at its place: one operation, each operand read once, y written once."""

    operands: ClassVar[tuple[str, ...]] = ("x",)

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return the operands."""
        return dict.fromkeys(self.operands, (self.n,))

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y."""
        return {"y": (self.n,)}


class Multiply(_Arithmetic):
    """y = a · b."""

    name: ClassVar[str] = "multiply"
    summary: ClassVar[str] = "product of two vectors, element by element"
    operands: ClassVar[tuple[str, ...]] = ("a", "b")

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return a · b."""
        return {"y": inputs["a"] * inputs["b"]}

    def crest(self, direction: Direction) -> float:  # noqa: ARG002 - forward only
        """Return how much farther the largest product stands out than a normal number.

        The density of the product of two normal numbers falls like exp(-|y|), so that the largest of n is about ln n, and
        their root mean square is 1; the largest of n normal numbers is about sqrt(2 ln n).
        """
        return max(1.0, math.sqrt(math.log(self.n) / 2))


class Divide(_Arithmetic):
    """y = a / b. The divisors are at least 1 in magnitude: by those near 0, overflow would be the right answer."""

    name: ClassVar[str] = "divide"
    summary: ClassVar[str] = "quotient of two vectors, element by element"
    operands: ClassVar[tuple[str, ...]] = ("a", "b")

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return a / b."""
        return {"y": inputs["a"] / inputs["b"]}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; b is moved away from 0 by 1."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        inputs["b"] = rounded(inputs["b"] + np.where(inputs["b"] < 0, -1.0, 1.0), dtype)
        return inputs


class Exp(_Arithmetic):
    """y = exp(x), counted as one operation."""

    name: ClassVar[str] = "exp"
    summary: ClassVar[str] = "exponential function"

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return exp(x)."""
        return {"y": np.exp(inputs["x"])}

    def crest(self, direction: Direction) -> float:  # noqa: ARG002 - forward only
        """Return how much farther the largest output stands out than a normal number.

        The largest of n normal numbers is about z = sqrt(2 ln n), and the root mean square of exp(x) is e: the largest
        output is exp(z - 1) root mean squares, where that of normal data is z.
        """
        z = math.sqrt(2 * math.log(self.n + 1))
        return max(1.0, math.exp(z - 1) / z)


class Sqrt(_Arithmetic):
    """y = the square root of x, counted as one operation. x is not negative."""

    name: ClassVar[str] = "sqrt"
    summary: ClassVar[str] = "square root"

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the square root."""
        return {"y": np.sqrt(inputs["x"])}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return the magnitudes of random inputs."""
        return {"x": np.abs(super().make_inputs(direction, dtype, distribution, rng)["x"])}


class BiasAdd(OverRows):
    """y[i, j] = x[i, j] + b[j], x of rows × cols: one addition, one read and one write of each element, one read of b."""

    name: ClassVar[str] = "bias_add"
    summary: ClassVar[str] = "a row vector added to each row of a matrix"

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x and b."""
        return super().inputs(direction) | {"b": (self.cols,)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y."""
        return {"y": (self.rows, self.cols)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1 per element."""
        return self.rows * self.cols

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1: nothing is summed over elements."""
        return 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return x + b."""
        return {"y": inputs["x"] + inputs["b"]}
