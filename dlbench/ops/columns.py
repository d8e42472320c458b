"""What the ops share that move single elements within the columns of a matrix."""

from __future__ import annotations

import numpy as np

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.freivalds import signs
from dlbench.ops.indices import Positions, drawn
from dlbench.ops.op import Direction, Distribution, Op, Shape


class ByColumn(Op):
    """An op that moves elements within each column of a matrix x of rows × cols, by an int64 index of n × cols."""

    rows: Extent
    cols: Extent
    n: Extent

    def label(self) -> str:
        """Return "2048 of 4096×512": the elements of each column, and the matrix."""
        return f"{self.n} of {self.rows}×{self.cols}"

    @property
    def x_shape(self) -> Shape:
        """The matrix's shape."""
        return self.rows, self.cols

    @property
    def index_shape(self) -> Shape:
        """The shape of the index, and of what it moves."""
        return self.n, self.cols

    def formats(self, direction: Direction) -> dict[str, str]:  # noqa: ARG002 - the same in both
        """Return that the index is int64."""
        return {"index": "int64"}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; the index is uniform."""
        return super().make_inputs(direction, dtype, distribution, rng) | {
            "index": drawn(self.rows, self.index_shape, rng)
        }

    def scattered(self, index: Array, values: Array) -> Array:
        """Return the sums of the values, n × cols, in each element of x: each value counts where the index says."""
        sums = np.zeros(self.x_shape)
        np.add.at(sums, (index.astype(np.intp), np.arange(self.cols)), values)
        return sums

    def scattered_at(self, index: Array, values: Array, positions: Positions) -> Array:
        """Return the sums in single elements of x."""
        places = zip(*np.unravel_index(positions, self.x_shape), strict=True)
        return np.array([values[index[:, column] == row, column].sum() for row, column in places])

    def combined(self, index: Array, values: Array, rng: np.random.Generator) -> tuple[Array, Array]:
        """Return a vector of ±1 for the rows of x, and the combination by it of the rows of the sums.

        It takes each value times its row's entry, and looks for no two values that go to one place.
        """
        v = signs(self.rows, rng)
        return v, np.sum(v[index.astype(np.intp)] * values, axis=0)
