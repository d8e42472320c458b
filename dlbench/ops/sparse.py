"""Products of a sparse and a dense matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.freivalds import signs
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Direction, Distribution, Op, Shape

GROUP, KEPT = 4, 2
"""Of each four neighbours in a row, two are kept (NVIDIA A100 whitepaper, 2020, fine-grained structured sparsity)."""
INDEX = "int64"
Positions = np.ndarray[tuple[int], np.dtype[np.intp]]
Sparsity = Annotated[float, Field(ge=0, lt=1)]


class SpMM(Op):
    """c = a b, with a sparse a of m × k in compressed rows (CSR) and a dense b of k × n.

    `sparsity` is the share of zeros in a, at random places: of the m·k elements nnz are stored, spread over the rows as
    evenly as can be. `values` and `columns` hold those of each row after one another, with ascending columns;
    row i is from starts[i] to starts[i + 1]. FLOPs are those of the stored elements, 2·nnz·n. All of b is
    counted as read, though very sparse an a might leave out rows of it.
    """

    name: ClassVar[str] = "spmm"
    summary: ClassVar[str] = "product of a sparse matrix (CSR) and a dense one"

    m: Extent
    n: Extent
    k: Extent
    sparsity: Sparsity

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.nnz == 0:
            raise ProblemError(
                f"{self.name} {self.label()}: none of the {self.m * self.k} elements of a is left"
            )
        return self

    @property
    def nnz(self) -> int:
        """How many elements are stored."""
        return round(self.m * self.k * (1 - self.sparsity))

    def label(self) -> str:
        """Return "4096×128×1024 sparsity 0.9": m × n × k and the share of zeros."""
        return f"{self.m}×{self.n}×{self.k} sparsity {self.sparsity}"

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return values, columns and starts of a, and b."""
        return {
            "values": (self.nnz,),
            "columns": (self.nnz,),
            "starts": (self.m + 1,),
            "b": (self.k, self.n),
        }

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return c."""
        return {"c": (self.m, self.n)}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - forward only
        """Return int64 for the indices."""
        return {"columns": INDEX, "starts": INDEX}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 2·nnz·n."""
        return 2 * self.nnz * self.n

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return the elements of the fullest row."""
        return -(-self.nnz // self.m)

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random values at random places, the same number of them in every row or one more."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        least, over = divmod(self.nnz, self.m)
        counts = np.full(self.m, least)
        counts[rng.choice(self.m, over, replace=False)] += 1
        rows = [np.sort(rng.choice(self.k, count, replace=False, shuffle=False)) for count in counts]
        inputs["columns"] = np.concatenate(rows).astype(np.float64)
        inputs["starts"] = np.concatenate([[0.0], np.cumsum(counts, dtype=np.float64)])
        return inputs

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the product, row by row."""
        return {"c": self._product(inputs, inputs["b"])}

    def _product(self, inputs: Mapping[str, Array], b: Array) -> Array:
        """Return a b, for a b of any number of columns."""
        return np.stack([self._row(inputs, row, b) for row in range(self.m)])

    def _row(self, inputs: Mapping[str, Array], row: int, b: Array) -> Array:
        start, end = inputs["starts"][row : row + 2].astype(np.intp)
        product: Array = inputs["values"][start:end] @ b[inputs["columns"][start:end].astype(np.intp)]
        return product

    def reference_at(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        output: str,  # noqa: ARG002 - there is one
        positions: Positions,
    ) -> Array:
        """Return single elements of the product, each from its own row and column."""
        places = np.column_stack(np.unravel_index(positions, (self.m, self.n))).tolist()
        return np.array([self._row(inputs, row, inputs["b"][:, column]) for row, column in places])

    def projection(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return c v and a (b v) for a random vector v of ±1: Freivalds' check."""
        v = signs(self.n, rng)
        return outputs["c"] @ v, self._product(inputs, inputs["b"] @ v)


class Sparse24(Op):
    """c = a b, with an a of m × k of whose every four neighbours in a row two are 0, and a dense b of k × n.

    a is given dense, its zeros in place; a variant that stores it compressed, two values of four and two bits to say
    which each is, compresses it before it is timed, as weights are. FLOPs are those of the dense product, 2·m·n·k, so
    that the rate is to be held against that of a matmul: with half of them left out, it may be up to twice the dense
    peak. Bytes are those of the compressed a.
    """

    name: ClassVar[str] = "sparse24"
    summary: ClassVar[str] = "product of a matrix of 2:4 sparsity and a dense one"

    m: Extent
    n: Extent
    k: Extent

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.k % GROUP:
            raise ProblemError(
                f"{self.name} {self.label()}: {self.k} columns of a are no multiple of {GROUP}"
            )
        return self

    def label(self) -> str:
        """Return "64×128×256": m × n × k."""
        return f"{self.m}×{self.n}×{self.k}"

    @property
    def product(self) -> Matmul:
        """The dense product that it is, of other inputs."""
        return Matmul(m=self.m, n=self.n, k=self.k)

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return a, with its zeros, and b."""
        return self.product.inputs(direction)

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return c."""
        return self.product.outputs(direction)

    def flops(self, direction: Direction) -> int:
        """Return 2·m·n·k, those of the dense product."""
        return self.product.flops(direction)

    def traffic(self, direction: Direction, itemsize: int) -> int:
        """Return the bytes of the compressed a, that is half of its values and 2 bits for each, of b and of c."""
        kept = self.m * self.k * KEPT // GROUP
        dense = self.product.traffic(direction, itemsize) - self.m * self.k * itemsize
        return dense + kept * itemsize + -(-2 * kept // 8)

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return k / 2."""
        return self.k * KEPT // GROUP

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; of each four neighbours in a row of a, the two smallest in magnitude are set to 0."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        inputs["a"] = pruned(inputs["a"])
        return inputs

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the product."""
        return self.product.reference(direction, inputs)

    def reference_at(
        self, direction: Direction, inputs: Mapping[str, Array], output: str, positions: Positions
    ) -> Array:
        """Return single elements of the product, each as one sum."""
        return self.product.reference_at(direction, inputs, output, positions)

    def projection(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return that of the dense product."""
        return self.product.projection(direction, inputs, outputs, rng)


def pruned(a: Array) -> Array:
    """Return a, rows × columns, with 0 for the two smallest in magnitude of each four neighbours in a row."""
    groups = a.reshape(a.shape[0], -1, GROUP).copy()
    smallest = np.argsort(np.abs(groups), axis=-1, kind="stable")[..., : GROUP - KEPT]
    np.put_along_axis(groups, smallest, 0.0, axis=-1)
    return groups.reshape(a.shape)
