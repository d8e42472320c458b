"""The product of two matrices, plain or batched, either operand stored transposed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.freivalds import signs
from dlbench.ops.op import Direction, Op, Shape


class Matmul(Op):
    """c = a b, with a of m × k and b of k × n elements.

    `trans_a` and `trans_b` say that the operand is stored transposed.
    """

    name: ClassVar[str] = "matmul"
    summary: ClassVar[str] = "matrix product, m × n from sums of k products"

    m: Extent
    n: Extent
    k: Extent
    batch: Extent = 1
    trans_a: bool = False
    trans_b: bool = False

    def label(self) -> str:
        """Return "8 of 64×128×256 TN": batch, m × n × k, and which operands are stored transposed."""
        batch = f"{self.batch} of " if self.batch > 1 else ""
        stored = ("T" if self.trans_a else "N") + ("T" if self.trans_b else "N")
        return f"{batch}{self.m}×{self.n}×{self.k}" + ("" if stored == "NN" else f" {stored}")

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return a and b as they are stored; the batch axis stands before where there is more than one."""
        a = (self.k, self.m) if self.trans_a else (self.m, self.k)
        b = (self.n, self.k) if self.trans_b else (self.k, self.n)
        return {"a": self._batched(a), "b": self._batched(b)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return c."""
        return {"c": self._batched((self.m, self.n))}

    def _batched(self, shape: Shape) -> Shape:
        return (self.batch, *shape) if self.batch > 1 else shape

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 2·batch·m·n·k."""
        return 2 * self.batch * self.m * self.n * self.k

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return k."""
        return self.k

    def operands(self, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return a and b as m × k and k × n views."""
        a, b = inputs["a"], inputs["b"]
        a = np.swapaxes(a, -1, -2) if self.trans_a else a
        return a, np.swapaxes(b, -1, -2) if self.trans_b else b

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the product."""
        a, b = self.operands(inputs)
        return {"c": a @ b}

    def reference_at(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        output: str,  # noqa: ARG002 - there is one
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single elements of the product, each as one sum of k terms."""
        a, b = (x.reshape(self.batch, *x.shape[-2:]) for x in self.operands(inputs))
        batch, row, column = np.unravel_index(positions, (self.batch, self.m, self.n))
        values: Array = np.einsum("ik,ik->i", a[batch, row, :], b[batch, :, column])
        return values

    def projection(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return c v and a (b v), or vᵀ c and (vᵀ a) b, for a random vector v of ±1: Freivalds' check.

        The shorter axis is summed over, so that many values are left to compare: a single one might be near 0
        by chance, and its error over itself would say nothing.
        """
        a, b = self.operands(inputs)
        if self.n <= self.m:
            v = signs(self.n, rng)
            return outputs["c"] @ v, np.matmul(a, (b @ v)[..., None])[..., 0]
        v = signs(self.m, rng)
        return v @ outputs["c"], np.matmul((v @ a)[..., None, :], b)[..., 0, :]
