"""Losses of the distances between vectors, for learning an embedding."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.indices import different, drawn, repeats
from dlbench.ops.loss import Loss
from dlbench.ops.op import Direction, Distribution, Shape

EPSILON = 1e-6
"""Added to each difference of a distance, which keeps its gradient finite where the vectors are equal, as
torch.nn.functional.pairwise_distance has it."""

LEAST_MARGIN, MOST_MARGIN = 0.01, 100.0
"""Pairs are 1/4 to 7/4 of the margin apart: the squares of these distances are numbers of float16, from 6e-8 to 65504."""


class _Distance(Loss):
    """A loss of the Euclidean distances between n pairs of vectors of `dim` elements."""

    n: Extent
    dim: Extent
    margin: Annotated[float, Field(ge=LEAST_MARGIN, le=MOST_MARGIN)] = 1.0

    @abstractmethod
    def others(self, anchors: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Return the tensors besides the first, the others' distances from it safely beside the margin."""

    def label(self) -> str:
        """Return "128×512", and a margin that is not 1."""
        margin = "" if self.margin == 1 else f" margin {self.margin:g}"
        return f"{self.n}×{self.dim}{margin}"

    @property
    def terms(self) -> int:
        """The pairs."""
        return self.n

    def tensors(self) -> dict[str, Shape]:
        """Return the learned tensors, each n × dim."""
        return dict.fromkeys(self.learned, (self.n, self.dim))

    def reduction_length(self, direction: Direction) -> int:
        """Return dim + n, since the errors of a distance and of the mean add up; backward dim."""
        return self.dim + (self.n if direction == "forward" else 0)

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random vectors, about as long as a quarter of the margin for normal data, and others at a distance.

        Distances would otherwise be near 0, where a gradient has no direction, or all of them beyond the margin.
        """
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        first = self.learned[0]
        inputs[first] = inputs[first] * self.margin / (4 * math.sqrt(self.dim))
        found = self.others(inputs[first], rng)
        rounds = {name: rounded(values, dtype) for name, values in found.items()}
        return inputs | rounds | {first: rounded(inputs[first], dtype)}


class ContrastiveLoss(_Distance):
    """loss = mean over pairs of d² where they are similar, max(margin - d, 0)² where not; d = |a - b + 1e-6|.

    That of R. Hadsell, S. Chopra & Y. LeCun (Dimensionality reduction by learning an invariant mapping, 2006, equation 4)
    without its factor 1/2, a pair being similar where `similar`, a mask, is true (their Y = 0). For each element the
    difference, the addition, the square and its sum, for each pair the square root and 4 more; backward those of the
    distance again, the product with the pair's factor and the change of sign, for each pair 5.
    """

    name: ClassVar[str] = "contrastive_loss"
    summary: ClassVar[str] = "contrastive loss of pairs of vectors"
    learned: ClassVar[tuple[str, ...]] = ("a", "b")

    def tensors(self) -> dict[str, Shape]:
        """Return a, b and similar."""
        return super().tensors() | {"similar": (self.n,)}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - in both
        """Return that similar is a mask."""
        return {"similar": "bool"}

    def flops(self, direction: Direction) -> int:
        """Return 4 per element and 5 per pair; backward 6 and 5."""
        return self.n * ((4 if direction == "forward" else 6) * self.dim + 5)

    def roundings(self, direction: Direction) -> int:
        """Return 5: the difference, its sum with 1e-6, the distance, what it lacks and the loss; backward as many more."""
        return 5 if direction == "forward" else 10

    def value(self, inputs: Mapping[str, Array]) -> float:
        """Return the mean over pairs."""
        distance = np.linalg.norm(inputs["a"] - inputs["b"] + EPSILON, axis=1)
        apart = np.maximum(self.margin - distance, 0.0)
        return float(np.mean(np.where(inputs["similar"] != 0, distance, apart) ** 2))

    def gradients(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return twice the difference of a similar pair; of others as far from the margin, towards it."""
        difference = inputs["a"] - inputs["b"] + EPSILON
        distance = np.linalg.norm(difference, axis=1)
        apart = np.maximum(self.margin - distance, 0.0)
        factor = np.where(inputs["similar"] != 0, 1.0, -apart / distance)
        da = 2 * factor[:, None] * difference / self.n
        return {"a": da, "b": -da}

    def others(self, anchors: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Return b at 1/4 to 3/4 of the margin, or that and the margin, from a; half of the pairs are similar."""
        distances = rng.uniform(1 / 4, 3 / 4, self.n) + rng.integers(0, 2, self.n)
        similar = rng.random(self.n) < 1 / 2
        return {
            "b": anchors + self.margin * distances[:, None] * _ways(anchors.shape, rng),
            "similar": similar.astype(np.float64),
        }


class TripletLoss(_Distance):
    """loss = mean over triplets of max(d(anchor, positive) - d(anchor, negative) + margin, 0).

    torch's triplet_margin_loss with p = 2, d(a, b) = |a - b + 1e-6| (F. Schroff, D. Kalenichenko & J. Philbin, FaceNet,
    2015, equation 3, have the squares of the distances). For each element 4 operations of either distance, for each
    triplet their square roots and 4 more; backward the distances again and 3 more, for each triplet 7.
    """

    name: ClassVar[str] = "triplet_loss"
    summary: ClassVar[str] = "triplet margin loss"
    learned: ClassVar[tuple[str, ...]] = ("anchor", "positive", "negative")

    def flops(self, direction: Direction) -> int:
        """Return 8 per element and 6 per triplet; backward 11 and 7."""
        if direction == "forward":
            return self.n * (8 * self.dim + 6)
        return self.n * (11 * self.dim + 7)

    def roundings(self, direction: Direction) -> int:
        """Return 6: a difference, its sum with 1e-6, the distance, two sums and the loss; backward as many more."""
        return 6 if direction == "forward" else 12

    def value(self, inputs: Mapping[str, Array]) -> float:
        """Return the mean over triplets."""
        (_, near), (_, far) = self._distances(inputs)
        return float(np.mean(np.maximum(near - far + self.margin, 0.0)))

    def gradients(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return, where the margin is not kept, the unit vectors from the positive and to the negative."""
        (to_positive, near), (to_negative, far) = self._distances(inputs)
        counts = np.where(near - far + self.margin > 0, 1.0 / self.n, 0.0)
        pull = (counts / near)[:, None] * to_positive
        push = (counts / far)[:, None] * to_negative
        return {"anchor": pull - push, "positive": -pull, "negative": push}

    def _distances(self, inputs: Mapping[str, Array]) -> list[tuple[Array, Array]]:
        """Return the differences from the positive and from the negative, each with its length."""
        differences = [inputs["anchor"] - inputs[name] + EPSILON for name in ("positive", "negative")]
        return [(one, np.linalg.norm(one, axis=1)) for one in differences]

    def others(self, anchors: Array, rng: np.random.Generator) -> dict[str, Array]:
        """Return positives at half the margin to 3/2, and negatives that keep the margin by 1/4 to 3/4, or lack as much.

        About half keep it, of which the gradient is 0, but not the first: a loss of 0 would hide a slip. Negatives are on the
        other side than the positives: the gradient of an anchor with both in one direction is 0, and a rounding error all
        there is of it.
        """
        near = rng.uniform(1 / 2, 3 / 2, self.n)
        lacking = rng.uniform(1 / 4, 3 / 4, self.n) * rng.choice([-1, 1], self.n)
        lacking[0] = abs(lacking[0])
        to_positive, to_negative = _ways(anchors.shape, rng), _ways(anchors.shape, rng)
        to_negative *= np.where((to_positive * to_negative).sum(axis=1) > 0, -1, 1)[:, None]
        distances = (self.margin * near)[:, None], (self.margin * (near + 1 - lacking))[:, None]
        return {
            "positive": anchors + distances[0] * to_positive,
            "negative": anchors + distances[1] * to_negative,
        }


class CenterLoss(Loss):
    """loss = half the mean over n features x of |x - centers[label]|², a center for each of `classes`.

    That of Y. Wen et al. (A discriminative feature learning approach for deep face recognition, 2016, equation 2) as a
    mean. Both gradients are plain ones: of the centers, the sum over their features, which the paper divides by the count.
    For each element of x a difference, its square and the addition; backward a difference, a product and the addition to
    its center's gradient. Of the centers, forward reads those that so many uniform labels are expected to name.
    """

    name: ClassVar[str] = "center_loss"
    summary: ClassVar[str] = "half the squared distance of features to their class's center"
    learned: ClassVar[tuple[str, ...]] = ("x", "centers")

    n: Extent
    dim: Extent
    classes: Extent

    def label(self) -> str:
        """Return "128×512 of 1000 classes"."""
        return f"{self.n}×{self.dim} of {self.classes} classes"

    @property
    def terms(self) -> int:
        """The features."""
        return self.n

    def tensors(self) -> dict[str, Shape]:
        """Return x, labels and centers."""
        return {"x": (self.n, self.dim), "labels": (self.n,), "centers": (self.classes, self.dim)}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - in both
        """Return that labels are indices."""
        return {"labels": "int64"}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - in both
        """Return 3 per element of x."""
        return 3 * self.n * self.dim

    def traffic(self, direction: Direction, itemsize: int) -> int:
        """Return the bytes of all tensors, of the centers that are read those that are named."""
        unread = self.classes - different(self.n, self.classes)
        return super().traffic(direction, itemsize) - itemsize * self.dim * unread

    def reduction_length(self, direction: Direction) -> int:
        """Return the elements of x; backward as many features as the most frequent class has."""
        return self.n * self.dim if direction == "forward" else repeats(self.n, self.classes)

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - in both
        """Return 2, the difference and the result."""
        return 2

    def crest(self, direction: Direction) -> float:
        """Return how much farther the largest gradient stands out than that of normal data.

        The centers that no label names have a gradient of 0, which makes the root mean square of all so much smaller.
        """
        if direction == "forward":
            return 1.0
        return math.sqrt(self.classes / different(self.n, self.classes))

    def value(self, inputs: Mapping[str, Array]) -> float:
        """Return half the mean of the squared distances."""
        return float(np.square(self._differences(inputs)).sum() / (2 * self.n))

    def gradients(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the differences over n, and less their sums for the centers."""
        dx = self._differences(inputs) / self.n
        dcenters = np.zeros((self.classes, self.dim))
        np.subtract.at(dcenters, inputs["labels"].astype(np.intp), dx)
        return {"x": dx, "centers": dcenters}

    def _differences(self, inputs: Mapping[str, Array]) -> Array:
        return inputs["x"] - inputs["centers"][inputs["labels"].astype(np.intp)]

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random features and centers, and uniform labels."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        inputs["labels"] = drawn(self.classes, (self.n,), rng)
        return inputs


def _ways(shape: Shape, rng: np.random.Generator) -> Array:
    """Return random directions, vectors of length 1."""
    ways: Array = rng.standard_normal(shape)
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    return ways
