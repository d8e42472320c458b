"""What the training steps of small networks share: fully connected layers, their gradients, and the step of descent."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.op import SMALL_INTEGER, Direction, Distribution, Op, Shape, draw

LEARNING_RATE = 0.125
"""A power of two, so that its product with a gradient is exact. Of the order of what plain gradient descent takes."""
TIMID = 8.0
"""What the last layer's weights are divided by besides: its scores are close to 0, as where little has been learnt. Of a
sure answer the error, 1 - p, is a small difference that a rounding of p may hide."""
RARE = 4
"""One row in so many is labelled unlike the others, so that an error summed over all rows does not cancel by chance."""
LEEWAY = 0.5
"""How far a rectified unit's sums may be moved, which have a standard deviation of about 1."""


def dense_shapes(widths: Sequence[int], prefix: str = "") -> dict[str, Shape]:
    """Return the weights and biases of fully connected layers between these widths: w1, b1, w2, …, as torch stores them."""
    shapes: dict[str, Shape] = {}
    for layer, (before, after) in enumerate(pairwise(widths), 1):
        shapes |= {f"{prefix}w{layer}": (after, before), f"{prefix}b{layer}": (after,)}
    return shapes


def dense_flops(n: int, widths: Sequence[int]) -> int:
    """Return the operations of the products of n rows: of each layer forward, for its weight, and for what it is given.

    Nothing is taken back to what the first layer is given.
    """
    products = [before * after for before, after in pairwise(widths)]
    return 2 * n * (3 * sum(products) - products[0])


def dense_inputs(shape: Shape, dtype: str, distribution: Distribution, rng: np.random.Generator) -> Array:
    """Return random numbers for a first layer; whole ones are divided by 8, which is exact, and are in [-1, 1] then.

    Scores would otherwise be multiples of what they are of normal data, and a softmax of them all 0 and 1.
    """
    drawn = draw(shape, distribution, rng)
    return rounded(drawn / SMALL_INTEGER if distribution == "integers" else drawn, dtype)


def dense_weights(shapes: Mapping[str, Shape], dtype: str, rng: np.random.Generator) -> dict[str, Array]:
    """Return normal weights of a variance of 2 over the inputs (K. He et al., arXiv 1502.01852), and small biases.

    The weights of the last layer are smaller still.
    """
    *_, last, _ = shapes
    return {
        name: rounded(_weights(shape, rng) / (TIMID if name == last else 1), dtype)
        for name, shape in shapes.items()
    }


def _weights(shape: Shape, rng: np.random.Generator) -> Array:
    """Return one layer's weights, or its biases."""
    drawn = draw(shape, "normal", rng)
    return drawn * math.sqrt(2 / shape[1]) if len(shape) > 1 else drawn / 8


def rare_rows(n: int, columns: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which of n rows are unlike the others, one in RARE of each column."""
    first = np.arange(n)[:, None] < n // RARE
    return rng.permuted(np.tile(first, (1, columns)), axis=0)


def off_the_kinks(x: Array, weights: Mapping[str, Array], dtype: str) -> dict[str, Array]:
    """Return the weights, the biases of rectified layers moved so that no sum of theirs over x is close to 0.

    A rectifier's gradient jumps at 0: where a sum is about 0, a rounding error decides whether a whole term of the gradient
    is there. Each unit's 0 is moved into the middle of the widest gap between its sums over the n rows, at most LEEWAY
    away; that is at least LEEWAY / (n + 1) from any of them.
    """
    moved = dict(weights)
    names = list(weights)
    for w, b in zip(names[:-2:2], names[1:-2:2], strict=True):
        sums = x @ moved[w].T + moved[b]
        moved[b] = rounded(moved[b] - _widest_gap(sums), dtype)
        x = np.maximum(x @ moved[w].T + moved[b], 0)
    return moved


def _widest_gap(sums: Array) -> Array:
    """Return the middle of the widest gap of each column, from -LEEWAY to LEEWAY."""
    ends = np.full((1, sums.shape[1]), LEEWAY)
    ordered = np.sort(np.concatenate([-ends, sums.clip(-LEEWAY, LEEWAY), ends]), axis=0)
    first = np.diff(ordered, axis=0).argmax(axis=0)
    columns = np.arange(sums.shape[1])
    middle: Array = (ordered[first, columns] + ordered[first + 1, columns]) / 2
    return middle


def dense_forward(x: Array, weights: Sequence[Array]) -> list[Array]:
    """Return x and what each layer puts out, rectified but for the last; weights are w1, b1, w2, …"""
    values = [x]
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    for number, (w, b) in enumerate(pairs, 1):
        z = values[-1] @ w.T + b
        values.append(z if number == len(pairs) else np.maximum(z, 0))
    return values


def dense_backward(values: Sequence[Array], weights: Sequence[Array], error: Array) -> list[Array]:
    """Return the gradients of w1, b1, w2, … from the one of the last layer's output."""
    gradients: list[Array] = []
    for layer in reversed(range(len(weights) // 2)):
        gradients[:0] = [error.T @ values[layer], error.sum(axis=0)]
        if layer:
            error = (error @ weights[2 * layer]) * (values[layer] > 0)
    return gradients


class TrainingStep(Op):
    """One step of a learner whose weights are `learned`.

    It puts out the loss, the gradient of each weight, and each weight after the step: w - 0.125·dw, in memory of its own.
    """

    directions: ClassVar[tuple[Direction, ...]] = ("forward_backward",)

    @property
    @abstractmethod
    def learned(self) -> dict[str, Shape]:
        """The weights by name."""

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - there is one
        """Return the loss, the gradients d…, and the weights after the step, …_next."""
        gradients = {f"d{name}": shape for name, shape in self.learned.items()}
        return {"loss": (), **gradients, **{f"{name}_next": shape for name, shape in self.learned.items()}}

    def parameters(self) -> int:
        """Return the weights and biases."""
        return sum(math.prod(shape) for shape in self.learned.values())

    def reference_cost(self, direction: Direction) -> int:  # noqa: ARG002 - whatever it costs
        """Return 0, which has the reference computed as a whole whatever its size.

        Each output comes of the whole step: samples would cost as much, each output's anew.
        """
        return 0

    def result(
        self, loss: float | np.floating, weights: Sequence[Array], gradients: Sequence[Array]
    ) -> dict[str, Array]:
        """Return the outputs by name, from the loss, the weights and their gradients."""
        after = [
            weight - LEARNING_RATE * gradient for weight, gradient in zip(weights, gradients, strict=True)
        ]
        return dict(
            zip(self.outputs("forward_backward"), [np.asarray(loss), *gradients, *after], strict=True)
        )
