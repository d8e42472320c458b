"""Scaled dot-product attention (A. Vaswani et al., Attention Is All You Need, 2017, equation 1)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from pydantic import model_validator

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.freivalds import signs
from dlbench.ops.op import Direction, Distribution, Op, Shape

CHUNK = 2**22
"""Scores of the reference held at once, 32 MiB: those of all queries of a long sequence may not fit."""
TAMED = 32
"""What whole-numbered queries are divided by. Scores of whole numbers in [-8, 8] have a standard deviation of 24 (the
variance of each is 24): the softmax would put a row's whole weight on one key, and turn a rounding error of a score
of 100 into an error of a hundred times that. Divided by a power of two they stay exact in every format, and the
scores' deviation is 0.75, close to that of normal data, 1."""


class Attention(Op):
    """o = softmax(q kᵀ / sqrt(dim)) v for every batch and head; q, k, v and o are batch × heads × seq × dim.

    With `causal`, query i sees the keys up to i alone, as torch's `is_causal` has it; seq_q and seq_k must then be
    equal. FLOPs are those of the two products, 4·batch·heads·seq_q·seq_k·dim, as torch.utils.flop_counter counts
    them: the softmax is not counted, and a causal one is counted in full, though a kernel may leave out half.
    """

    name: ClassVar[str] = "attention"
    summary: ClassVar[str] = "scaled dot-product attention"

    batch: Extent = 1
    heads: Extent = 1
    seq_q: Extent
    seq_k: Extent
    dim: Extent
    causal: bool = False

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.causal and self.seq_q != self.seq_k:
            raise ProblemError(
                f"{self.name} {self.label()}: {self.seq_q} queries and {self.seq_k} keys; "
                "causal needs as many of both"
            )
        return self

    def label(self) -> str:
        """Return "8×16 heads of 1024×1024×64 causal": batch, heads, queries, keys and the vectors' size."""
        causal = " causal" if self.causal else ""
        return f"{self.batch}×{self.heads} heads of {self.seq_q}×{self.seq_k}×{self.dim}{causal}"

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return q, k and v."""
        keys = (self.batch, self.heads, self.seq_k, self.dim)
        return {"q": self.o_shape, "k": keys, "v": keys}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return o."""
        return {"o": self.o_shape}

    @property
    def o_shape(self) -> Shape:
        """The output's shape, which is also q's."""
        return self.batch, self.heads, self.seq_q, self.dim

    @property
    def scale(self) -> float:
        """What the scores are multiplied by: 1 / sqrt(dim)."""
        return 1 / math.sqrt(self.dim)

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 4·batch·heads·seq_q·seq_k·dim."""
        return 4 * self.batch * self.heads * self.seq_q * self.seq_k * self.dim

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return dim + seq_k: the errors of a score's sum and of an output's add up."""
        return self.dim + self.seq_k

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return o, head by head."""
        o = np.empty(self.o_shape)
        for head in np.ndindex(self.batch, self.heads):
            o[head] = self._attended(*(inputs[name][head] for name in ("q", "k", "v")))
        return {"o": o}

    def _attended(self, q: Array, k: Array, v: Array) -> Array:
        """Return one head's output, some queries at a time; v may have any number of columns."""
        step = max(1, CHUNK // self.seq_k)
        parts = [
            self.weights(q[start : start + step], k, np.arange(start, min(start + step, self.seq_q))) @ v
            for start in range(0, self.seq_q, step)
        ]
        return np.concatenate(parts)

    def weights(self, q: Array, k: Array, rows: np.ndarray[tuple[int], np.dtype[np.intp]]) -> Array:
        """Return the softmax of the scores of some queries, which are these rows of one head."""
        scores = self.scale * (q @ k.T)
        if self.causal:
            scores[np.arange(self.seq_k) > rows[:, None]] = -np.inf
        powers: Array = np.exp(scores - scores.max(axis=-1, keepdims=True))
        powers /= powers.sum(axis=-1, keepdims=True)
        return powers

    def reference_at(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        output: str,  # noqa: ARG002 - there is one
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single outputs, each from the scores of its own query."""
        places = np.column_stack(np.unravel_index(positions, self.o_shape)).tolist()
        return np.array([self._at(inputs, *place) for place in places])

    def _at(self, inputs: Mapping[str, Array], batch: int, head: int, row: int, column: int) -> float:
        q, k, v = (inputs[name][batch, head] for name in ("q", "k", "v"))
        return float(self.weights(q[row : row + 1], k, np.array([row]))[0] @ v[:, column])

    def projection(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return o u of one head, and the same from v u, for a random vector u of ±1.

        The output is linear in v and in nothing else. The scores have to be computed for it: half of the work of a
        head, of which one is therefore drawn. Every output of that head is seen.
        """
        head = int(rng.integers(self.batch)), int(rng.integers(self.heads))
        u = signs(self.dim, rng)
        expected = self._attended(inputs["q"][head], inputs["k"][head], inputs["v"][head] @ u[:, None])
        return outputs["o"][head] @ u, expected[:, 0]

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; whole-numbered queries are divided by 32, which is exact."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        if distribution == "integers":
            inputs["q"] = inputs["q"] / TAMED
        return inputs
