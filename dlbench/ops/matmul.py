"""The product of two matrices, plain or batched, either operand stored transposed, scaled and added to a third."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.freivalds import signs
from dlbench.ops.op import Direction, Op, Shape

Factor = Annotated[float, Field(allow_inf_nan=False)]


class Matmul(Op):
    """c = alpha·a b + beta·c0, with a of m × k and b of k × n elements, and c0 of the shape of c: BLAS's gemm.

    `trans_a` and `trans_b` say that the operand is stored transposed. Where beta is 0 there is no c0, and c is written
    without being read. c0 is left as it is.
    """

    name: ClassVar[str] = "matmul"
    summary: ClassVar[str] = "matrix product, m × n from sums of k products"
    later: ClassVar[tuple[str, ...]] = ("alpha", "beta")

    m: Extent
    n: Extent
    k: Extent
    batch: Extent = 1
    trans_a: bool = False
    trans_b: bool = False
    alpha: Factor = 1.0
    beta: Factor = 0.0

    @property
    def plain(self) -> bool:
        """Whether the product is all that there is: alpha is 1 and beta 0."""
        return self.alpha == 1 and self.beta == 0

    def label(self) -> str:
        """Return "8 of 64×128×256 TN": batch, m × n × k, which operands are stored transposed, and alpha and beta."""
        batch = f"{self.batch} of " if self.batch > 1 else ""
        stored = ("T" if self.trans_a else "N") + ("T" if self.trans_b else "N")
        parts = [f"{batch}{self.m}×{self.n}×{self.k}"]
        if stored != "NN":
            parts.append(stored)
        if self.alpha != 1:
            parts.append(f"alpha {self.alpha}")
        if self.beta != 0:
            parts.append(f"beta {self.beta}")
        return " ".join(parts)

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return a and b as they are stored, and c0 where there is one; a batch's axis stands before."""
        a = (self.k, self.m) if self.trans_a else (self.m, self.k)
        b = (self.n, self.k) if self.trans_b else (self.k, self.n)
        operands = {"a": self._batched(a), "b": self._batched(b)}
        return operands if self.beta == 0 else operands | {"c0": self._batched((self.m, self.n))}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return c."""
        return {"c": self._batched((self.m, self.n))}

    def _batched(self, shape: Shape) -> Shape:
        return (self.batch, *shape) if self.batch > 1 else shape

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 2·batch·m·n·k: scaling and adding c0 are not counted, as torch.utils.flop_counter has it."""
        return 2 * self.batch * self.m * self.n * self.k

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return k, and one more for c0."""
        return self.k + (self.beta != 0)

    def operands(self, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return a and b as m × k and k × n views."""
        a, b = inputs["a"], inputs["b"]
        a = np.swapaxes(a, -1, -2) if self.trans_a else a
        return a, np.swapaxes(b, -1, -2) if self.trans_b else b

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return c."""
        a, b = self.operands(inputs)
        c = self.alpha * (a @ b)
        return {"c": c if self.beta == 0 else c + self.beta * inputs["c0"]}

    def reference_at(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        output: str,  # noqa: ARG002 - there is one
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single elements of c, each as one sum of k terms."""
        a, b = (x.reshape(self.batch, *x.shape[-2:]) for x in self.operands(inputs))
        batch, row, column = np.unravel_index(positions, (self.batch, self.m, self.n))
        values: Array = self.alpha * np.einsum("ik,ik->i", a[batch, row, :], b[batch, :, column])
        if self.beta == 0:
            return values
        return values + self.beta * inputs["c0"].reshape(self.batch, self.m, self.n)[batch, row, column]

    def projection(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return c v and alpha·a (b v) + beta·c0 v, or the same of vᵀ c, for a random vector v of ±1: Freivalds' check.

        The shorter axis is summed over, so that many values are left to compare: a single one might be near 0
        by chance, and its error over itself would say nothing.
        """
        a, b = self.operands(inputs)
        c, c0 = outputs["c"], inputs.get("c0")
        if self.n > self.m:
            a, b, c, c0 = b.mT, a.mT, c.mT, None if c0 is None else c0.mT
        v = signs(min(self.m, self.n), rng)
        expected = self.alpha * np.matmul(a, (b @ v)[..., None])[..., 0]
        return c @ v, expected if c0 is None else expected + self.beta * (c0 @ v)
