"""The tagger of sequences: a bidirectional LSTM whose scores a conditional random field puts together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops import recurrent_reference as maths
from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Distribution, Op, Shape, draw

GATES = 4
LSTM = ("w_ih", "w_hh", "b_ih", "b_hh")


class LstmTagger(Op):
    """log Z of every sequence of words, over all sequences of tags: the forward algorithm of a BiLSTM-CRF.

    Words, steps × batch, are looked up in a table, vocabulary × dim; one bidirectional LSTM layer of hidden_size units in
    each direction, whose gates stand in torch's order (input, forget, cell, output), and a linear layer score the tags at
    each step. A sequence of tags scores the sum of those, of the transitions from tag to tag (row: from, column: to), and of
    what it begins and ends with; Z is the sum of the exponentials of all tags ** steps scores. (Z. Huang, W. Xu & K. Yu,
    Bidirectional LSTM-CRF models for sequence tagging, arXiv 1508.01991.) FLOPs are those of the products of the LSTM and of
    the linear layer.
    """

    name: ClassVar[str] = "lstm_tagger"
    summary: ClassVar[str] = "a BiLSTM-CRF's forward algorithm"

    steps: Extent
    batch: Extent = 1
    vocabulary: Extent
    dim: Extent
    hidden_size: Extent
    tags: Extent

    def label(self) -> str:
        """Return "20×32 of 10000 words, 100 → 2×128 → 9 tags"."""
        return f"{self.steps}×{self.batch} of {self.vocabulary} words, {self.dim} → 2×{self.hidden_size} → {self.tags} tags"

    @property
    def weights(self) -> dict[str, Shape]:
        """The table, the LSTM's weights forward and backward, the linear layer's, and the random field's."""
        rows, tags = GATES * self.hidden_size, self.tags
        lstm = dict(zip(LSTM, ((rows, self.dim), (rows, self.hidden_size), (rows,), (rows,)), strict=True))
        return {
            "table": (self.vocabulary, self.dim),
            **lstm,
            **{f"{name}_reverse": shape for name, shape in lstm.items()},
            "w_out": (tags, 2 * self.hidden_size),
            "b_out": (tags,),
            "transitions": (tags, tags),
            "begin": (tags,),
            "end": (tags,),
        }

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return the words and the weights."""
        return {"words": (self.steps, self.batch), **self.weights}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return log_z of each sequence."""
        return {"log_z": (self.batch,)}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - forward only
        """Return that words are int64."""
        return {"words": "int64"}

    def parameters(self) -> int:
        """Return the weights and biases, the table's and the random field's among them."""
        return sum(math.prod(shape) for shape in self.weights.values())

    def activations(self) -> int:
        """Return what the LSTM's products and the linear layer put out."""
        return self.steps * self.batch * (2 * 2 * GATES * self.hidden_size + self.tags)

    def traffic(self, direction: Direction, itemsize: int) -> int:
        """Return the bytes of the words, of the table's rows that they name at most, the other weights and log_z."""
        unread = self.vocabulary - min(self.vocabulary, self.steps * self.batch)
        return super().traffic(direction, itemsize) - unread * self.dim * itemsize

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 2·steps·batch·(2·4·hidden_size·(dim + hidden_size) + tags·2·hidden_size)."""
        lstm = 2 * GATES * self.hidden_size * (self.dim + self.hidden_size)
        return 2 * self.steps * self.batch * (lstm + self.tags * 2 * self.hidden_size)

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return the terms of a step's sums: a gate's, a score's and those over the tags; log Z grows with each step's."""
        return self.dim + self.hidden_size + 2 * self.hidden_size + self.tags

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 4, of the gates, the cell, the state and the scores, and 3 more for each step, by which log Z is rounded.

        They are of the sum with the transitions, of that with the scores, and of the logarithm.
        """
        return 4 + 3 * self.steps

    def reference_cost(self, direction: Direction) -> int:  # noqa: ARG002 - whatever it costs
        """Return 0: the reference is computed as a whole whatever its size, since a single log Z takes all of its steps."""
        return 0

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return log_z."""
        x = inputs["table"][inputs["words"].astype(np.intp)]
        zeros = np.zeros((2, self.batch, self.hidden_size))
        both = [_lstm(inputs, suffix) for suffix in ("", "_reverse")]
        states = maths.stack(maths.KINDS["lstm"], [both], x, (zeros, zeros)).y
        scores = states @ inputs["w_out"].T + inputs["b_out"]
        log_z = inputs["begin"] + scores[0]
        for step in scores[1:]:
            log_z = _log_sum(log_z[:, :, None] + inputs["transitions"] + step[:, None, :], 1)
        return {"log_z": _log_sum(log_z + inputs["end"], 1)}

    def make_inputs(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        dtype: str,
        distribution: Distribution,
        rng: np.random.Generator,
    ) -> dict[str, Array]:
        """Return random words and weights; the table is of the distribution, matrices are divided by sqrt(their inputs)."""
        words = rng.integers(0, self.vocabulary, (self.steps, self.batch)).astype(np.float64)
        inputs = {"words": words}
        for name, shape in self.weights.items():
            drawn = draw(shape, distribution if name == "table" else "normal", rng)
            scale = math.sqrt(shape[1]) if name.startswith("w_") else 1
            inputs[name] = rounded(drawn / scale, dtype)
        return inputs


def _lstm(inputs: Mapping[str, Array], suffix: str) -> maths.Weights:
    w_ih, w_hh, b_ih, b_hh = (inputs[f"{name}{suffix}"] for name in LSTM)
    return w_ih, w_hh, b_ih, b_hh


def _log_sum(values: Array, axis: int) -> Array:
    """Return the logarithm of the sum of exponentials along an axis."""
    largest = values.max(axis=axis, keepdims=True)
    total: Array = np.log(np.exp(values - largest).sum(axis=axis)) + largest.squeeze(axis)
    return total
