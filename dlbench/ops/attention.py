"""Scaled dot-product attention (A. Vaswani et al., Attention Is All You Need, 2017, equation 1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import ClassVar, Self

import numpy as np
from pydantic import ValidationInfo, field_validator, model_validator

from dlbench.errors import ProblemError
from dlbench.ops.attention_reference import Head
from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.freivalds import signs
from dlbench.ops.op import Direction, Distribution, Op, Shape

TAMED = 32
"""What whole-numbered queries are divided by. Scores of whole numbers in [-8, 8] have a standard deviation of 24 (the
variance of each is 24): the softmax would put a row's whole weight on one key, and turn a rounding error of a score
of 100 into an error of a hundred times that. Divided by a power of two they stay exact in every format, and the
scores' deviation is 0.75, close to that of normal data, 1."""
CENTRE = 0.5
"""What is taken from uniform keys and values of `backward`. dq is a sum of the keys with weights that add up to 0, each a
product of do with a value less that of do with the output: what all keys or all values have in common cancels, but its
rounding errors do not. The true gradients stay the same."""
PRODUCTS: Mapping[Direction, int] = {"forward": 2, "backward": 5}
"""The scores and the output; the scores again, and the gradients of the weights, of v, of q and of k
(torch.utils.flop_counter, sdpa_backward_flop_count)."""


class Attention(Op):
    """o = softmax(q kᵀ / sqrt(dim)) v for every batch and head; q and o are batch × heads × seq_q × dim.

    k and v are batch × kv_heads × seq_k × dim: with fewer heads than q, each serves as many heads of q that follow one
    another (J. Ainslie et al., GQA, 2023). None, the default, is as many as q has. With `causal`, query i sees the keys
    up to i alone, as torch's `is_causal` has it; seq_q and seq_k must then be equal. FLOPs are those of the products,
    2·batch·heads·seq_q·seq_k·dim each, as torch.utils.flop_counter counts them: two forward, and five backward, one of
    which computes the scores again. The softmax is not counted, and a causal one is counted in full, though a kernel may
    leave out half.
    """

    name: ClassVar[str] = "attention"
    summary: ClassVar[str] = "scaled dot-product attention"
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")
    later: ClassVar[tuple[str, ...]] = ("kv_heads",)

    batch: Extent = 1
    heads: Extent = 1
    seq_q: Extent
    seq_k: Extent
    dim: Extent
    causal: bool = False
    kv_heads: Extent | None = None

    @field_validator("kv_heads")
    @classmethod
    def _none_as_heads(cls, value: int | None, info: ValidationInfo) -> int | None:
        """Return None for as many as q has, so that equal problems have equal keys."""
        return None if value == info.data.get("heads") else value

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.causal and self.seq_q != self.seq_k:
            raise ProblemError(
                f"{self.name} {self.label()}: {self.seq_q} queries and {self.seq_k} keys; "
                "causal needs as many of both"
            )
        if self.heads % self.key_heads:
            raise ProblemError(
                f"{self.name} {self.label()}: {self.heads} heads of queries do not divide "
                f"among {self.key_heads} heads of keys"
            )
        return self

    def label(self) -> str:
        """Return "8×16/4 heads of 1024×1024×64 causal": batch, heads, those of k and v if fewer, queries, keys and dim."""
        heads = str(self.heads) if self.kv_heads is None else f"{self.heads}/{self.kv_heads}"
        causal = " causal" if self.causal else ""
        return f"{self.batch}×{heads} heads of {self.seq_q}×{self.seq_k}×{self.dim}{causal}"

    @property
    def key_heads(self) -> int:
        """The heads of k and v."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def group(self) -> int:
        """The heads of q that share one of k and v."""
        return self.heads // self.key_heads

    @property
    def q_shape(self) -> Shape:
        """The shape of q, o and their gradients."""
        return self.batch, self.heads, self.seq_q, self.dim

    @property
    def k_shape(self) -> Shape:
        """The shape of k, v and their gradients."""
        return self.batch, self.key_heads, self.seq_k, self.dim

    @property
    def scale(self) -> float:
        """What the scores are multiplied by: 1 / sqrt(dim)."""
        return 1 / math.sqrt(self.dim)

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return q, k and v, and do for the gradients."""
        shapes = {"q": self.q_shape, "k": self.k_shape, "v": self.k_shape}
        return shapes | {"do": self.q_shape} if direction == "backward" else shapes

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return o, or dq, dk and dv."""
        if direction == "backward":
            return {"dq": self.q_shape, "dk": self.k_shape, "dv": self.k_shape}
        return {"o": self.q_shape}

    def flops(self, direction: Direction) -> int:
        """Return 4·batch·heads·seq_q·seq_k·dim, backward 10 of them."""
        return PRODUCTS[direction] * 2 * self.batch * self.heads * self.seq_q * self.seq_k * self.dim

    def reduction_length(self, direction: Direction) -> int:
        """Return dim + seq_k: the errors of a score's sum and of an output's add up.

        Backward those of a weight's gradient do too, and the last sum is over the keys, or over all queries that share one.
        """
        if direction == "backward":
            return 2 * self.dim + max(self.seq_k, self.group * self.seq_q)
        return self.dim + self.seq_k

    def roundings(self, direction: Direction) -> int:
        """Return 3, of the scores, the weights and the output, where each step is a kernel of its own.

        Backward 4, of the scores, the weights, the scores' gradient and the result; 5 where the gradients of shared keys
        are added up after that.
        """
        if direction == "backward":
            return 4 if self.group == 1 else 5
        return 3

    def crest(self, direction: Direction) -> float:
        """Return how much farther the largest output stands out than that of normal data.

        Of normal data a score's exponential e^s has a mean square of e², and a sum over n keys with weights that are in
        proportion to it a variance of about e/n, of one or two keys 1. A causal query i sees i + 1: the first outputs and
        the gradients of the first keys are of variance 1, all together of e (1 + ln(n/e)) / n.
        Backward a single score may add as much as all others: the largest of N is about z = sqrt(2 ln N), so that one of t
        summed weights outweighs the root mean square of all by e^(z-1) / sqrt(t), t the keys of a query or the queries of
        a key, whichever are fewer; and never by more than the keys, since a query's weights have a mean of 1/keys. The
        largest of the dim outputs behind it is about half as far out as the largest of all.
        """
        causal = single = 1.0
        if self.causal and self.seq_k > math.e:
            causal = math.sqrt(self.seq_k / (math.e * math.log(self.seq_k)))  # 1 + ln(n/e) = ln n
        if direction == "backward":
            z = math.sqrt(2 * math.log(self.batch * self.heads * self.seq_q * self.seq_k + 1))
            terms = min(self.seq_k, self.group * self.seq_q)
            single += min(math.exp(z - 1) / math.sqrt(terms), self.seq_k) / 2
        return max(causal, single)

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return o or the gradients, head by head; those of shared keys and values add up."""
        outputs = {name: np.zeros(shape) for name, shape in self.outputs(direction).items()}
        for batch, head in np.ndindex(self.batch, self.heads):
            one, shared = self._head(inputs, batch, head), head // self.group
            if direction == "backward":
                outputs["dq"][batch, head], dk, dv = one.gradients()
                outputs["dk"][batch, shared] += dk
                outputs["dv"][batch, shared] += dv
            else:
                outputs["o"][batch, head] = one.output()
        return outputs

    def _head(self, inputs: Mapping[str, Array], batch: int, head: int) -> Head:
        """Return one head of q, with the keys and values that it shares."""
        shared = head // self.group
        q, k, v = inputs["q"][batch, head], inputs["k"][batch, shared], inputs["v"][batch, shared]
        do = inputs["do"][batch, head] if "do" in inputs else np.zeros(0)
        return Head(self.scale, self.causal, q, k, v, do)

    def _behind(self, inputs: Mapping[str, Array], output: str, batch: int, head: int) -> Iterator[Head]:
        """Return the heads of q behind one head of an output: all that share it behind one of dk and dv."""
        first, count = (head * self.group, self.group) if output in ("dk", "dv") else (head, 1)
        for each in range(first, first + count):
            yield self._head(inputs, batch, each)

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single outputs: those of o and dq from the scores of their own query, those of dk and dv from all.

        A head is gone through once for all of its positions.
        """
        batches, heads, rows, columns = np.unravel_index(positions, self.outputs(direction)[output])
        found = np.zeros(len(positions))
        for batch, head in sorted({*zip(batches.tolist(), heads.tolist(), strict=True)}):
            here = (batches == batch) & (heads == head)
            for one in self._behind(inputs, output, batch, head):
                found[here] += one.elements(output, rows[here], columns[here])
        return found

    def projection(
        self,
        direction: Direction,  # noqa: ARG002 - the output says it
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return an output of one head times u, and the same from the inputs, for a random vector u of ±1.

        o and dv are linear in v and do, dq and dk a product of the scores' gradient with k and q. The scores have to be
        computed for it: about half of the work of a head, of which one is therefore drawn. Every output of that head is
        seen.
        """
        ((output, values),) = outputs.items()
        batch, head = int(rng.integers(self.batch)), int(rng.integers(values.shape[1]))
        u = signs(self.dim, rng)
        expected = np.zeros(values.shape[2])
        for one in self._behind(inputs, output, batch, head):
            expected += one.projected(output, u)
        return values[batch, head] @ u, expected

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; whole-numbered queries are divided by 32, which is exact, and `backward`'s uniform keys and
        values are centred.
        """
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        if distribution == "integers":
            inputs["q"] = inputs["q"] / TAMED
        if (direction, distribution) == ("backward", "uniform"):
            inputs |= {name: rounded(inputs[name] - CENTRE, dtype) for name in ("k", "v")}
        return inputs
