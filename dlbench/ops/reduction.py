"""Reductions of the rows of a matrix: sum, mean, Euclidean norm, largest element and its place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array
from dlbench.ops.indices import out_of_range
from dlbench.ops.op import Direction, Shape
from dlbench.ops.rows import OverRows


class _Reduction(OverRows):
    """y[i] = one number of row i of a matrix of rows × cols.

    Traffic is one read of the matrix and one write of y.
    """

    operations: ClassVar[int] = 1
    """Counted for each element, as into a result that starts at the operation's neutral element."""
    at_the_end: ClassVar[int] = 0
    """Counted for each row besides."""

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y, which has one element for each row."""
        return {"y": (self.rows,)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return those of each element, and those of each row."""
        return self.rows * (self.operations * self.cols + self.at_the_end)

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return the columns."""
        return self.cols

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single outputs, each from its own row."""
        return self.reference(direction, {"x": inputs["x"][positions]})[output]


class Sum(_Reduction):
    """y[i] = sum of row i of a matrix of rows × cols: one addition for each element."""

    name: ClassVar[str] = "sum"
    summary: ClassVar[str] = "sum of each row"

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the sums."""
        return {"y": inputs["x"].sum(axis=-1)}


class Mean(_Reduction):
    """y[i] = mean of row i of a matrix of rows × cols: one addition for each element, one division for each row."""

    name: ClassVar[str] = "mean"
    summary: ClassVar[str] = "mean of each row"
    at_the_end: ClassVar[int] = 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the means."""
        return {"y": inputs["x"].mean(axis=-1)}


class Norm2(_Reduction):
    """y[i] = square root of the sum of the squares of row i of a matrix of rows × cols: its Euclidean norm.

    A multiply-add for each element and a square root for each row are counted.
    """

    name: ClassVar[str] = "norm2"
    summary: ClassVar[str] = "Euclidean norm of each row"
    operations: ClassVar[int] = 2
    at_the_end: ClassVar[int] = 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the norms."""
        return {"y": np.sqrt(np.square(inputs["x"]).sum(axis=-1))}


class _Selection(_Reduction):
    """A reduction to one of the elements, which is exact: one comparison for each element."""

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1: nothing is summed."""
        return 1


class Max(_Selection):
    """y[i] = largest element of row i of a matrix of rows × cols."""

    name: ClassVar[str] = "max"
    summary: ClassVar[str] = "largest element of each row"

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the largest elements."""
        return {"y": inputs["x"].max(axis=-1)}


class Argmax(_Selection):
    """y[i] = column of the largest element of row i of a matrix of rows × cols, an int64.

    Of several equal ones it may be any: the elements in these columns are what is compared.
    """

    name: ClassVar[str] = "argmax"
    summary: ClassVar[str] = "column of the largest element of each row"

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - forward only
        """Return that y holds indices."""
        return {"y": "int64"}

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the largest elements, as `seen` gives them for the columns."""
        return {"y": inputs["x"].max(axis=-1)}

    def seen(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> Mapping[str, Array]:
        """Return the elements in the columns."""
        columns = outputs["y"].astype(np.intp)
        return {"y": inputs["x"][np.arange(self.rows), columns]}

    def complaint(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],  # noqa: ARG002 - they are compared
        outputs: Mapping[str, Array],
    ) -> str:
        """Return the first index that is no column."""
        return out_of_range("y", outputs["y"], self.cols)
