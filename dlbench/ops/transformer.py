"""One block of a transformer, forward: the encoder's of BERT and the decoder's of Llama."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Self

import numpy as np
from pydantic import ValidationInfo, field_validator, model_validator

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.normal import EPS
from dlbench.ops.op import SMALL_INTEGER, Direction, Distribution, Op, Shape, draw

ROTARY_BASE = 500_000.0
"""Of the angles' geometric series, as Llama 3 has it (A. Dubey et al., arXiv 2407.21783, table 3)."""
NORMED = ("norm1_weight", "norm2_weight")


class _Block(Op):
    """What both blocks share. x and y are batch × seq × hidden; attention has `heads` heads of hidden / heads numbers.

    FLOPs are those of the products and of attention in full, as torch.utils.flop_counter has them.
    """

    batch: Extent = 1
    seq: Extent
    hidden: Extent
    heads: Extent
    ffn: Extent

    @property
    def dim(self) -> int:
        """The numbers of a head."""
        return self.hidden // self.heads

    @property
    def x_shape(self) -> Shape:
        """The input's shape, and the output's."""
        return self.batch, self.seq, self.hidden

    @property
    @abstractmethod
    def weights(self) -> dict[str, Shape]:
        """The weights by name, in the order in which they are taken."""

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return x and the weights."""
        return {"x": self.x_shape, **self.weights}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y."""
        return {"y": self.x_shape}

    def parameters(self) -> int:
        """Return the weights and biases."""
        return sum(math.prod(shape) for shape in self.weights.values())

    def activations(self) -> int:
        """Return what the products with weights put out."""
        return self.batch * self.seq * sum(shape[0] for shape in self.weights.values() if len(shape) > 1)

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 2·batch·seq·(elements of the matrices) + 4·batch·seq²·hidden."""
        matrices = sum(math.prod(shape) for shape in self.weights.values() if len(shape) > 1)
        return 2 * self.batch * self.seq * matrices + 4 * self.batch * self.seq**2 * self.hidden

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return the terms of the sums in a row: four products, the scores, the values, and two normalisations."""
        return 3 * self.hidden + self.ffn + self.dim + self.seq + 2 * self.hidden

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 12: q, scores, softmax, values, projection, sum, norm, first product, its function, second, sum, norm.

        Llama's block turns q, and has a norm before that and none at the end.
        """
        return 12

    def reference_cost(self, direction: Direction) -> int:  # noqa: ARG002 - whatever it costs
        """Return 0, which has the reference computed as a whole whatever its size: samples would cost as much."""
        return 0

    def make_inputs(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        dtype: str,
        distribution: Distribution,
        rng: np.random.Generator,
    ) -> dict[str, Array]:
        """Return random x; matrices divided by sqrt(their inputs), so that each product keeps the scale; norms near 1.

        Whole numbers are divided by 8, which is exact: BERT's scores would otherwise have a standard deviation of 24, and a
        softmax of such turns a rounding error of a score into one of a hundred times that.
        """
        x = draw(self.x_shape, distribution, rng)
        inputs = {"x": rounded(x / SMALL_INTEGER if distribution == "integers" else x, dtype)}
        for name, shape in self.weights.items():
            drawn = draw(shape, "normal", rng)
            scaled = drawn / math.sqrt(shape[1]) if len(shape) > 1 else drawn / 8
            inputs[name] = rounded(scaled + (1 if name in NORMED else 0), dtype)
        return inputs

    def split(self, projected: Array, heads: int) -> Array:
        """Return batch × seq × heads·dim as batch × heads × seq × dim."""
        return projected.reshape(self.batch, self.seq, heads, self.dim).transpose(0, 2, 1, 3)

    def attended(self, q: Array, k: Array, v: Array, *, causal: bool) -> Array:
        """Return the heads' outputs beside one another, batch × seq × hidden."""
        scores = q @ k.swapaxes(-1, -2) / math.sqrt(self.dim)
        if causal:
            scores[..., np.triu(np.ones((self.seq, self.seq), bool), 1)] = -np.inf
        powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
        mixed: Array = (powers / powers.sum(axis=-1, keepdims=True)) @ v
        return mixed.transpose(0, 2, 1, 3).reshape(self.x_shape)


class BertBlock(_Block):
    """y = norm(z + gelu(z w₁ᵀ + b₁) w₂ᵀ + b₂), z = norm(x + attention(x)), each norm after the sum, all products with biases.

    J. Devlin et al., BERT, arXiv 1810.04805, after A. Vaswani et al., arXiv 1706.03762; GELU with the error function. q, k
    and v are one product with w_qkv. To a variance 1e-5 is added, as torch's TransformerEncoderLayer has it; BERT's own
    code has 1e-12.
    """

    name: ClassVar[str] = "bert_block"
    summary: ClassVar[str] = "an encoder block as BERT has it"

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.hidden % self.heads:
            raise ProblemError(f"{self.name} {self.label()}: {self.heads} heads do not divide {self.hidden}")
        return self

    @property
    def weights(self) -> dict[str, Shape]:
        """The attention's, the first norm's, the feed-forward's and the second norm's."""
        hidden, ffn = self.hidden, self.ffn
        return {
            "w_qkv": (3 * hidden, hidden), "b_qkv": (3 * hidden,), "w_o": (hidden, hidden), "b_o": (hidden,),
            "norm1_weight": (hidden,), "norm1_bias": (hidden,), "w1": (ffn, hidden), "b1": (ffn,),
            "w2": (hidden, ffn), "b2": (hidden,), "norm2_weight": (hidden,), "norm2_bias": (hidden,),
        }  # fmt: skip

    def label(self) -> str:
        """Return "8×128×768, 12 heads, ffn 3072"."""
        return f"{self.batch}×{self.seq}×{self.hidden}, {self.heads} heads, ffn {self.ffn}"

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return y."""
        from scipy.special import erf  # not loaded by commands that compute nothing

        x, w_qkv, b_qkv, w_o, b_o, weight1, bias1, w1, b1, w2, b2, weight2, bias2 = inputs.values()
        parts = np.split(x @ w_qkv.T + b_qkv, 3, axis=-1)
        q, k, v = (self.split(part, self.heads) for part in parts)
        z = _layer_norm(x + self.attended(q, k, v, causal=False) @ w_o.T + b_o, weight1, bias1)
        inner = z @ w1.T + b1
        gelu = inner * (1 + erf(inner / math.sqrt(2))) / 2
        return {"y": _layer_norm(z + gelu @ w2.T + b2, weight2, bias2)}


class LlamaBlock(_Block):
    """y = z + (silu(n w_gateᵀ) ⊙ n w_upᵀ) w_downᵀ of n = norm(z), z = x + attention(norm(x)), without biases.

    H. Touvron et al., arXiv 2302.13971 and 2307.09288: root mean square norms before, causal attention whose `kv_heads` heads
    of keys and values (None: as many as of queries) each serve heads / kv_heads of queries that follow one another, and
    rotary positions (J. Su et al., arXiv 2104.09864): of each head the pair of numbers i and i + dim/2 is turned by
    position · 500000^(-2i/dim), the order of the released checkpoints in Hugging Face's form.
    """

    name: ClassVar[str] = "llama_block"
    summary: ClassVar[str] = "a decoder block as Llama has it"

    kv_heads: Extent | None = None

    @field_validator("kv_heads")
    @classmethod
    def _none_as_heads(cls, value: int | None, info: ValidationInfo) -> int | None:
        """Return None for as many as the queries have, so that equal problems have equal keys."""
        return None if value == info.data.get("heads") else value

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        what = f"{self.name} {self.label()}"
        if self.hidden % self.heads or self.dim % 2:
            raise ProblemError(f"{what}: {self.heads} heads of an even size do not divide {self.hidden}")
        if self.heads % self.key_heads:
            raise ProblemError(f"{what}: {self.key_heads} heads of keys do not divide {self.heads} heads")
        return self

    @property
    def key_heads(self) -> int:
        """The heads of keys and values."""
        return self.heads if self.kv_heads is None else self.kv_heads

    @property
    def weights(self) -> dict[str, Shape]:
        """The first norm's, the attention's, the second norm's and the feed-forward's."""
        hidden, ffn, shared = self.hidden, self.ffn, self.key_heads * self.dim
        return {
            "norm1_weight": (hidden,), "w_q": (hidden, hidden), "w_k": (shared, hidden), "w_v": (shared, hidden),
            "w_o": (hidden, hidden), "norm2_weight": (hidden,), "w_gate": (ffn, hidden), "w_up": (ffn, hidden),
            "w_down": (hidden, ffn),
        }  # fmt: skip

    def label(self) -> str:
        """Return "1×2048×4096, 32 heads over 8, ffn 14336"."""
        shared = f" over {self.key_heads}" if self.key_heads != self.heads else ""
        return f"{self.batch}×{self.seq}×{self.hidden}, {self.heads} heads{shared}, ffn {self.ffn}"

    def angles(self) -> tuple[Array, Array]:
        """Return the cosines and sines of every position and pair, seq × dim/2."""
        turns = ROTARY_BASE ** (-2 * np.arange(self.dim // 2) / self.dim)
        angles = np.arange(self.seq)[:, None] * turns
        return np.cos(angles), np.sin(angles)

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return y."""
        x, norm1, w_q, w_k, w_v, w_o, norm2, w_gate, w_up, w_down = inputs.values()
        n = _rms_norm(x, norm1)
        q = self._turned(self.split(n @ w_q.T, self.heads))
        k, v = self._turned(self.split(n @ w_k.T, self.key_heads)), self.split(n @ w_v.T, self.key_heads)
        k, v = (np.repeat(shared, self.heads // self.key_heads, axis=1) for shared in (k, v))
        z = x + self.attended(q, k, v, causal=True) @ w_o.T
        n = _rms_norm(z, norm2)
        gate = n @ w_gate.T
        return {"y": z + (gate * 0.5 * (1 + np.tanh(gate / 2)) * (n @ w_up.T)) @ w_down.T}

    def _turned(self, heads: Array) -> Array:
        cos, sin = self.angles()
        first, second = np.split(heads, 2, axis=-1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def _layer_norm(x: Array, weight: Array, bias: Array) -> Array:
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + EPS)
    normed: Array = centred / spread * weight + bias
    return normed


def _rms_norm(x: Array, weight: Array) -> Array:
    normed: Array = x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + EPS) * weight
    return normed
