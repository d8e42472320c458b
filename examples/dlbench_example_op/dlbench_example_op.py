"""A polynomial of many numbers: an op that another package brings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Distribution, Op, Shape


class Polynomial(Op):
    """y = c[0] + c[1]·x + … + c[degree]·x^degree for each of n numbers.

    FLOPs are those of Horner's scheme: a multiplication and an addition for each degree. x is drawn between -1 and 1,
    where no power of it grows.
    """

    name: ClassVar[str] = "polynomial"
    summary: ClassVar[str] = "a polynomial of each element"

    n: Extent
    degree: Extent

    def label(self) -> str:
        """Return "1000, degree 5"."""
        return f"{self.n}, degree {self.degree}"

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x and the coefficients."""
        return {"x": (self.n,), "c": (self.degree + 1,)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y."""
        return {"y": (self.n,)}

    def flops(self, direction: Direction) -> int:
        """Return 2 for each number and degree."""
        return 2 * self.n * self.degree

    def reduction_length(self, direction: Direction) -> int:
        """Return the terms of one sum."""
        return self.degree + 1

    def roundings(self, direction: Direction) -> int:
        """Return two a step of Horner's scheme: a product and a sum, each rounded to the dtype."""
        return 2 * self.degree

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return y by numpy's polynomial."""
        return {"y": np.polynomial.polynomial.polyval(inputs["x"], inputs["c"])}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs, x between -1 and 1."""
        drawn = super().make_inputs(direction, dtype, distribution, rng)
        return drawn | {"x": rounded(drawn["x"] / (1 + np.abs(drawn["x"])), dtype)}
