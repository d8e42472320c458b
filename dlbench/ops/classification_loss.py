"""Losses of the scores that rows have for each class, and of the rows' labels."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.loss import Loss
from dlbench.ops.op import Direction, Distribution, Shape
from dlbench.ops.softmax import OPERATIONS, LogSoftmax

MARGIN = 1.0
"""By how much the hinge loss wants a label's score to exceed the others."""
CHUNK = 2**22
"""Scores of the reference taken at once, 32 MiB: those of a language model's whole vocabulary may not fit several times."""


class _Classification(Loss):
    """A loss of the scores x of rows × cols, a column for each class, and of the class of each row: labels, int64."""

    rows: Extent
    cols: Extent

    @abstractmethod
    def losses(self, inputs: Mapping[str, Array]) -> Array:
        """Return the loss of each of some rows."""

    @abstractmethod
    def slopes(self, inputs: Mapping[str, Array]) -> Array:
        """Return the gradient of each of some rows' losses, rows × cols."""

    def label(self) -> str:
        """Return "128×1000"."""
        return f"{self.rows}×{self.cols}"

    @property
    def terms(self) -> int:
        """The rows."""
        return self.rows

    def tensors(self) -> dict[str, Shape]:
        """Return x and labels."""
        return {"x": (self.rows, self.cols), "labels": (self.rows,)}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - in both
        """Return that labels are indices."""
        return {"labels": "int64"}

    def crest(self, direction: Direction) -> float:
        """Return how much farther the largest gradient stands out than that of normal data.

        That of a row's label is about as large as those of all other columns together: sqrt(cols) root mean squares. The
        largest of N normal numbers is about sqrt(2 ln N).
        """
        if direction == "forward":
            return 1.0
        return max(1.0, math.sqrt(self.cols / (2 * math.log(self.rows * self.cols + 1))))

    def value(self, inputs: Mapping[str, Array]) -> float:
        """Return the mean over rows, some of them at a time."""
        step = max(1, CHUNK // self.cols)
        parts = [
            self.losses(_rows(inputs, slice(start, start + step))).sum()
            for start in range(0, self.rows, step)
        ]
        return math.fsum(parts) / self.rows

    def gradients(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the rows' gradients over their number."""
        return {"x": self.slopes(inputs) / self.rows}

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return the loss, or single gradients, each from its own row."""
        if direction == "forward":
            return super().reference_at(direction, inputs, output, positions)
        rows, columns = np.divmod(positions, self.cols)
        return self.reference(direction, _rows(inputs, rows))[output][np.arange(rows.size), columns]

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random scores, each row's label any class but the one of its largest score.

        The loss of a row whose label wins is near 0, the small difference of larger numbers.
        """
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        scores = inputs.get("x", np.zeros((self.rows, self.cols)))
        inputs["labels"] = beside_the_largest(scores, rng)
        return inputs


class ZeroOneLoss(_Classification):
    """loss = share of the rows whose largest score is not their label's; of equal ones the first is the largest.

    A comparison for each element, and for each row another one and the addition to the count. It has no gradient to speak
    of: that is 0 wherever it exists.
    """

    name: ClassVar[str] = "zero_one_loss"
    summary: ClassVar[str] = "0-1 loss, the share of rows classified wrongly"
    directions: ClassVar[tuple[Direction, ...]] = ("forward",)

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1 per element and 2 per row."""
        return self.rows * (self.cols + 2)

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1: what is summed are whole numbers."""
        return 1

    def losses(self, inputs: Mapping[str, Array]) -> Array:
        """Return 1 for each row that is classified wrongly."""
        return np.where(inputs["x"].argmax(axis=1) != inputs["labels"], 1.0, 0.0)

    def slopes(self, inputs: Mapping[str, Array]) -> Array:
        """Return 0."""
        return np.zeros_like(inputs["x"])

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random scores, about half of the rows classified rightly: a share near 1 would hide a slip."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        right = rng.random(self.rows) < 1 / 2
        inputs["labels"] = np.where(right, inputs["x"].argmax(axis=1), inputs["labels"])
        return inputs


class HingeLoss(_Classification):
    """loss = mean over rows of the sum over classes j ≠ label of max(0, 1 - x[label] + x[j]) / cols.

    torch's multi_margin_loss with p = 1 and margin 1 (K. Crammer & Y. Singer, On the algorithmic implementation of
    multiclass kernel-based vector machines, 2001, have the largest of these terms instead of their sum). For each element
    an addition, a comparison and an addition to the sum, or backward to the label's gradient.
    """

    name: ClassVar[str] = "hinge_loss"
    summary: ClassVar[str] = "multi-class margin loss"

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - in both
        """Return 3 per element."""
        return 3 * self.rows * self.cols

    def reduction_length(self, direction: Direction) -> int:
        """Return all the elements; backward what a sum of random terms would have to be as long as the label's gradient.

        The terms of that are equal, and so are the rounding errors of adding them up one by one, each anything up to u times
        the sum: together they are about cols / sqrt 12 of them, not the square root of so many.
        """
        return self.rows * self.cols if direction == "forward" else self.cols + self.cols**2 // 12

    def losses(self, inputs: Mapping[str, Array]) -> Array:
        """Return the mean over the classes."""
        losses: Array = np.maximum(_short(inputs), 0.0).mean(axis=1)
        return losses

    def slopes(self, inputs: Mapping[str, Array]) -> Array:
        """Return 1 for each class that comes too near, less as much for the label, over the classes."""
        dx = np.where(_short(inputs) > 0, 1.0, 0.0)
        dx[_at_labels(inputs)] = -dx.sum(axis=1)
        return dx / self.cols

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random scores in quarters, a label's an eighth more.

        What a class comes too near is then a whole number of eighths and never 0, where the gradient jumps, and it is
        computed exactly in every format: of 16 bits, those below 32 in eighths.
        """
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        inputs["x"] = np.round(4 * inputs["x"]) / 4
        inputs["x"][_at_labels(inputs)] += 1 / 8
        return inputs


class CrossEntropyLoss(_Classification):
    """loss = mean over rows of log(sum of exp(x)) - x[label]; backward, dx = (softmax(x) - 1 at the label) dloss / rows.

    For each element the 4 operations of the sum of the exponentials, for each row its logarithm, the subtraction and the
    addition; backward the 5 of a softmax and a product, and for each row the subtraction.
    """

    name: ClassVar[str] = "cross_entropy"
    summary: ClassVar[str] = "cross-entropy of a softmax over rows"

    def flops(self, direction: Direction) -> int:
        """Return 4 per element and 3 per row; backward 6 and 1."""
        if direction == "forward":
            return self.rows * ((OPERATIONS - 1) * self.cols + 3)
        return self.rows * ((OPERATIONS + 1) * self.cols + 1)

    def reduction_length(self, direction: Direction) -> int:
        """Return cols + rows, since the errors of a row's sum and of the mean add up; backward the columns."""
        return self.cols + (self.rows if direction == "forward" else 0)

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - in both
        """Return 2: frameworks take the logarithms of the softmax first, and round them."""
        return 2

    def losses(self, inputs: Mapping[str, Array]) -> Array:
        """Return each label's negative log-probability."""
        return -self._logarithms(inputs)[_at_labels(inputs)]

    def slopes(self, inputs: Mapping[str, Array]) -> Array:
        """Return the softmax, less 1 at the label."""
        dx = np.exp(self._logarithms(inputs))
        dx[_at_labels(inputs)] -= 1
        return dx

    def _logarithms(self, inputs: Mapping[str, Array]) -> Array:
        return LogSoftmax(rows=self.rows, cols=self.cols).value(inputs["x"])


class NllLoss(_Classification):
    """loss = -mean over rows of x[label], x being log-probabilities; backward, dx = -dloss / rows at the label, else 0.

    One operation for each row. Forward reads no more of x than the labels' elements, and backward nothing of it.
    """

    name: ClassVar[str] = "nll_loss"
    summary: ClassVar[str] = "negative log-likelihood of log-probabilities"

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x and labels; backward, labels and dloss."""
        tensors = super().inputs(direction)
        return tensors if direction == "forward" else {name: tensors[name] for name in ("labels", "dloss")}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - in both
        """Return 1 per row."""
        return self.rows

    def traffic(self, direction: Direction, itemsize: int) -> int:
        """Return the bytes of all tensors, of x only one element of each row."""
        whole = super().traffic(direction, itemsize)
        return whole - itemsize * self.rows * (self.cols - 1) if direction == "forward" else whole

    def reduction_length(self, direction: Direction) -> int:
        """Return the rows, which are summed; backward 1."""
        return self.rows if direction == "forward" else 1

    def losses(self, inputs: Mapping[str, Array]) -> Array:
        """Return each label's negative log-probability."""
        return -inputs["x"][_at_labels(inputs)]

    def slopes(self, inputs: Mapping[str, Array]) -> Array:
        """Return -1 at each row's label."""
        dx = np.zeros((inputs["labels"].size, self.cols))
        dx[_at_labels(inputs)] = -1
        return dx

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return the logarithms of random probabilities, a row's label any but the most probable class."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        if "x" in inputs:
            inputs["x"] = rounded(LogSoftmax(rows=self.rows, cols=self.cols).value(inputs["x"]), dtype)
        return inputs


def beside_the_largest(scores: Array, rng: np.random.Generator) -> Array:
    """Return for each row a random column other than that of its largest score, 0 where there is one column."""
    rows, cols = scores.shape
    if cols == 1:
        return np.zeros(rows)
    others: Array = ((scores.argmax(axis=1) + rng.integers(1, cols, rows)) % cols).astype(np.float64)
    return others


def _rows(
    inputs: Mapping[str, Array], which: slice | np.ndarray[tuple[int], np.dtype[np.intp]]
) -> dict[str, Array]:
    """Return some rows of the tensors, and the scalars."""
    return {name: values[which] if values.ndim else values for name, values in inputs.items()}


def _at_labels(inputs: Mapping[str, Array]) -> tuple[np.ndarray[tuple[int], np.dtype[np.intp]], ...]:
    """Return the places of the labels' elements."""
    labels = inputs["labels"].astype(np.intp)
    return np.arange(labels.size), labels


def _short(inputs: Mapping[str, Array]) -> Array:
    """Return by how much each class comes nearer to the label than the margin; 0 for the label itself."""
    x, at_labels = inputs["x"], _at_labels(inputs)
    short: Array = MARGIN - x[at_labels][:, None] + x
    short[at_labels] = 0.0
    return short
