"""Moving rows and elements by index, and putting matrices side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.columns import ByColumn
from dlbench.ops.dtypes import FORMATS, Array
from dlbench.ops.extent import Extent
from dlbench.ops.freivalds import signs
from dlbench.ops.indices import Positions, different, drawn, repeats
from dlbench.ops.op import Direction, Distribution, Op, Shape
from dlbench.ops.several import Several, numbered


class Embedding(Op):
    """y[i] = table[indices[i]]: rows of a table of vocab × dim, by n int64 indices.

    `backward_weight` is the table's dense gradient: dtable[r] = sum of dy[i] over the i with indices[i] = r, zeros in
    the rows that no index names. Indices are uniform, whatever the data. FLOPs are the n·dim additions of the gradient,
    as into zeros; none forward.
    """

    name: ClassVar[str] = "embedding"
    summary: ClassVar[str] = "rows of a table by their indices"
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward_weight")

    n: Extent
    vocab: Extent
    dim: Extent

    def label(self) -> str:
        """Return "8192 of 30522×768": the indices, and the table."""
        return f"{self.n} of {self.vocab}×{self.dim}"

    @property
    def table_shape(self) -> Shape:
        """The table's shape."""
        return self.vocab, self.dim

    @property
    def y_shape(self) -> Shape:
        """The output's shape."""
        return self.n, self.dim

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return indices and table, or indices and dy."""
        if direction == "backward_weight":
            return {"indices": (self.n,), "dy": self.y_shape}
        return {"indices": (self.n,), "table": self.table_shape}

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y or dtable."""
        return {"dtable": self.table_shape} if direction == "backward_weight" else {"y": self.y_shape}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - the same in both
        """Return that the indices are int64."""
        return {"indices": "int64"}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; the indices are uniform."""
        return super().make_inputs(direction, dtype, distribution, rng) | {
            "indices": drawn(self.vocab, (self.n,), rng)
        }

    def flops(self, direction: Direction) -> int:
        """Return n·dim additions of the gradient, 0 forward."""
        return self.n * self.dim if direction == "backward_weight" else 0

    def traffic(self, direction: Direction, itemsize: int) -> int:
        """Return the compulsory bytes: of the table only the rows that are used, each once; of all else every element.

        The rows used are those that n uniform indices are expected to name. The gradient is written in full.
        """
        if direction == "backward_weight":
            return super().traffic(direction, itemsize)
        rows = different(self.n, self.vocab) + self.n
        return FORMATS["int64"].itemsize * self.n + itemsize * rows * self.dim

    def reduction_length(self, direction: Direction) -> int:
        """Return how many gradients are added in the row that the most indices name, 1 forward."""
        return repeats(self.n, self.vocab) if direction == "backward_weight" else 1

    def roundings(self, direction: Direction) -> int:
        """Return the additions into one row: each may be made in memory, and is then rounded to the dtype."""
        return self.reduction_length(direction)

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the rows, or the table's gradient."""
        indices = inputs["indices"].astype(np.intp)
        if direction == "backward_weight":
            dtable = np.zeros(self.table_shape)
            np.add.at(dtable, indices, inputs["dy"])
            return {"dtable": dtable}
        return {"y": inputs["table"][indices]}

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: Positions,
    ) -> Array:
        """Return single elements."""
        row, column = np.unravel_index(positions, self.outputs(direction)[output])
        indices = inputs["indices"].astype(np.intp)
        if direction == "backward_weight":
            dy = inputs["dy"]
            return np.array([dy[indices == r, c].sum() for r, c in zip(row, column, strict=True)])
        values: Array = inputs["table"][indices[row], column]
        return values

    def projection(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return the rows times a vector u of ±1, and the same by way of a table of a single column."""
        u = signs(self.dim, rng)
        indices = inputs["indices"].astype(np.intp)
        if direction == "backward_weight":
            sums = np.bincount(indices, weights=inputs["dy"] @ u, minlength=self.vocab)
            return outputs["dtable"] @ u, sums.astype(np.float64)
        return outputs["y"] @ u, (inputs["table"] @ u)[indices]


class Gather(ByColumn):
    """y[i, j] = x[index[i, j], j], as torch.gather along axis 0: x of rows × cols, index and y of n × cols.

    `backward` is the scatter-add into zeros: dx[r, j] = sum of dy[i, j] over the i with index[i, j] = r. Indices are
    int64 and uniform, whatever the data. FLOPs are the n·cols additions of the gradient; none forward.
    """

    name: ClassVar[str] = "gather"
    summary: ClassVar[str] = "elements of each column by their rows"
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x and index, or index and dy."""
        if direction == "backward":
            return {"index": self.index_shape, "dy": self.index_shape}
        return {"x": self.x_shape, "index": self.index_shape}

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y or dx."""
        return {"dx": self.x_shape} if direction == "backward" else {"y": self.index_shape}

    def flops(self, direction: Direction) -> int:
        """Return n·cols additions of the gradient, 0 forward."""
        return self.n * self.cols if direction == "backward" else 0

    def traffic(self, direction: Direction, itemsize: int) -> int:
        """Return the compulsory bytes: of x only the elements that are used, each once; of all else every element.

        The elements used are those that n uniform indices in each column are expected to name. What else is in their
        cache lines is not counted. The gradient is written in full.
        """
        if direction == "backward":
            return super().traffic(direction, itemsize)
        read = different(self.n, self.rows)
        return self.cols * (FORMATS["int64"].itemsize * self.n + itemsize * (read + self.n))

    def reduction_length(self, direction: Direction) -> int:
        """Return how many gradients are added in the element that the most indices of a column name, 1 forward."""
        return repeats(self.n, self.rows) if direction == "backward" else 1

    def roundings(self, direction: Direction) -> int:
        """Return the additions into one element: each may be made in memory, and is then rounded to the dtype."""
        return self.reduction_length(direction)

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the elements, or the gradient of x."""
        if direction == "backward":
            return {"dx": self.scattered(inputs["index"], inputs["dy"])}
        return {"y": np.take_along_axis(inputs["x"], inputs["index"].astype(np.intp), axis=0)}

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,  # noqa: ARG002 - there is one
        positions: Positions,
    ) -> Array:
        """Return single elements."""
        index = inputs["index"]
        if direction == "backward":
            return self.scattered_at(index, inputs["dy"], positions)
        row, column = np.unravel_index(positions, self.index_shape)
        values: Array = inputs["x"][index[row, column].astype(np.intp), column]
        return values

    def projection(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return a random ±1 combination of the gradient's rows, and the same of dy; None forward, where nothing adds up."""
        if direction != "backward":
            return None
        v, expected = self.combined(inputs["index"], inputs["dy"], rng)
        return v @ outputs["dx"], expected


class ScatterAdd(ByColumn):
    """y[r, j] = x[r, j] + sum of src[i, j] over the i with index[i, j] = r, as torch.scatter_add along axis 0.

    x and y are rows × cols, index and src n × cols. Indices are int64 and uniform, whatever the data. n·cols additions
    are counted; traffic is one read of x, index and src, and one write of y.
    """

    name: ClassVar[str] = "scatter_add"
    summary: ClassVar[str] = "additions to elements of each column by their rows"

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return x, index and src."""
        return {"x": self.x_shape, "index": self.index_shape, "src": self.index_shape}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y."""
        return {"y": self.x_shape}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return n·cols."""
        return self.n * self.cols

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return how many numbers are added up in the element that the most indices of a column name."""
        return 1 + repeats(self.n, self.rows)

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return the additions to one element: each may be made in memory, and is then rounded to the dtype."""
        return repeats(self.n, self.rows)

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the sums."""
        return {"y": inputs["x"] + self.scattered(inputs["index"], inputs["src"])}

    def reference_at(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        output: str,  # noqa: ARG002 - there is one
        positions: Positions,
    ) -> Array:
        """Return single sums."""
        return inputs["x"].ravel()[positions] + self.scattered_at(inputs["index"], inputs["src"], positions)

    def projection(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return a random ±1 combination of the rows of y, and the same of x and src."""
        v, expected = self.combined(inputs["index"], inputs["src"], rng)
        return v @ outputs["y"], v @ inputs["x"] + expected


class Concat(Op):
    """y = x0, x1, … side by side: `parts` matrices of rows × cols each, along the last axis.

    `backward` is the split of dy into dx0, dx1, …, in memory of their own. No operations, one read and one write of
    each element.
    """

    name: ClassVar[str] = "concat"
    summary: ClassVar[str] = "matrices side by side"
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")

    parts: Several
    rows: Extent
    cols: Extent

    def label(self) -> str:
        """Return "4 of 128×1000"."""
        return f"{self.parts} of {self.rows}×{self.cols}"

    @property
    def y_shape(self) -> Shape:
        """The output's shape."""
        return self.rows, self.parts * self.cols

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x0, x1, …, or dy."""
        if direction == "backward":
            return {"dy": self.y_shape}
        return numbered("x", self.parts, (self.rows, self.cols))

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y, or dx0, dx1, …."""
        if direction == "backward":
            return numbered("dx", self.parts, (self.rows, self.cols))
        return {"y": self.y_shape}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - the same in both
        """Return 0."""
        return 0

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - the same in both
        """Return 1: nothing is summed."""
        return 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the matrices side by side, or the gradient's columns apart."""
        if direction == "backward":
            pieces = np.split(inputs["dy"], self.parts, axis=-1)
            return {name: piece.copy() for name, piece in zip(self.outputs(direction), pieces, strict=True)}
        return {"y": np.concatenate([inputs[name] for name in self.inputs(direction)], axis=-1)}
