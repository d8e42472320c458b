"""Training steps of perceptrons: forward, the loss, backward, and a step of gradient descent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent, Padding
from dlbench.ops.op import Direction, Distribution, Shape, draw
from dlbench.ops.training import (
    TrainingStep,
    dense_backward,
    dense_flops,
    dense_forward,
    dense_inputs,
    dense_shapes,
    dense_weights,
    off_the_kinks,
    rare_rows,
)


class PerceptronStep(TrainingStep):
    """A layer of logistic units learns by the delta rule: p = 1 / (1 + e^-(x wᵀ + b)), E = sum of (p - t)² / (2n).

    x is n × in_features, the targets t n × out_features of 0 and 1. FLOPs are those of the two products, forward and the
    weight's gradient: 4·n·in_features·out_features. (F. Rosenblatt, The Perceptron, 1958, with a smooth unit; the delta
    rule is B. Widrow & M. Hoff's, 1960.)
    """

    name: ClassVar[str] = "perceptron_step"
    summary: ClassVar[str] = "a training step of one layer of logistic units"

    n: Extent
    in_features: Extent
    out_features: Extent = 1

    @property
    def learned(self) -> dict[str, Shape]:
        """w and b."""
        return {"w": (self.out_features, self.in_features), "b": (self.out_features,)}

    def label(self) -> str:
        """Return "64×1024 → 10"."""
        return f"{self.n}×{self.in_features} → {self.out_features}"

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - there is one
        """Return x, t, w and b."""
        return {"x": (self.n, self.in_features), "t": (self.n, self.out_features), **self.learned}

    def activations(self) -> int:
        """Return what the layer puts out."""
        return self.n * self.out_features

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return 4·n·in_features·out_features."""
        return 4 * self.n * self.in_features * self.out_features

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return in_features + n·out_features: the terms of a unit's sum, and those of the loss."""
        return self.in_features + self.n * self.out_features

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return 6: the sum, p, p - t, the slope, its product, and the gradient."""
        return 6

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the loss, the gradients and the weights after the step."""
        x, t, w, b = inputs.values()
        p = 0.5 * (1 + np.tanh(0.5 * (x @ w.T + b)))
        error = (p - t) * p * (1 - p) / self.n
        loss = np.square(p - t).sum() / (2 * self.n)
        return self.result(loss, [w, b], [error.T @ x, error.sum(axis=0)])

    def make_inputs(
        self,
        direction: Direction,  # noqa: ARG002 - there is one
        dtype: str,
        distribution: Distribution,
        rng: np.random.Generator,
    ) -> dict[str, Array]:
        """Return random x, targets of 0 and 1, and weights that keep the units off their flat ends.

        Most targets of a unit are the same, and biases are an eighth at least, more than a step can change them by: of one
        unit, its bias and that one's gradient are single numbers, which should not be differences of equal ones.
        """
        x = rounded(draw((self.n, self.in_features), distribution, rng), dtype)
        mostly = rng.integers(0, 1, self.out_features, endpoint=True).astype(bool)
        t = rare_rows(self.n, self.out_features, rng) ^ mostly
        scale = 2 * max(1.0, float(np.abs(x).max())) * math.sqrt(self.in_features)
        w, b = (draw(shape, "normal", rng) for shape in self.learned.values())
        b = np.copysign(1 + np.abs(b), b) / 8
        return {"x": x, "t": t.astype(np.float64), "w": rounded(w / scale, dtype), "b": rounded(b, dtype)}


class MlpStep(TrainingStep):
    """A multi-layer perceptron learns: fully connected layers with rectifiers between them, cross-entropy over the classes.

    x is n × in_features, the labels n classes; `layers` hidden layers of hidden_size units. The loss is the mean over n.
    FLOPs are those of the products: 2·n·(inputs·outputs) of each layer forward and for its weight, and of each but the first
    for what it is given.
    """

    name: ClassVar[str] = "mlp_step"
    summary: ClassVar[str] = "a training step of a multi-layer perceptron"

    n: Extent
    in_features: Extent
    hidden_size: Extent
    classes: Extent
    layers: Padding = 1  # with none it is a softmax regression

    @property
    def widths(self) -> tuple[int, ...]:
        """The inputs, the units of each hidden layer, and the classes."""
        return (self.in_features, *(self.hidden_size,) * self.layers, self.classes)

    @property
    def learned(self) -> dict[str, Shape]:
        """w1, b1, w2, …"""
        return dense_shapes(self.widths)

    def label(self) -> str:
        """Return "64×784 → 512 → 10"."""
        return f"{self.n}×" + " → ".join(map(str, self.widths))

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - there is one
        """Return x, the labels, and the weights."""
        return {"x": (self.n, self.in_features), "labels": (self.n,), **self.learned}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - there is one
        """Return that labels are int64."""
        return {"labels": "int64"}

    def activations(self) -> int:
        """Return what the layers put out."""
        return self.n * sum(self.widths[1:])

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return 2·n·(3·inputs·outputs) summed over the layers, less the first one's gradient of x."""
        return dense_flops(self.n, self.widths)

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return the terms of all layers' sums, forward and backward, and those over the batch."""
        return 2 * sum(self.widths) + self.n

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return three for each layer's way up and down, and three of the loss."""
        return 3 * len(self.widths)

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the loss, the gradients and the weights after the step."""
        x, labels, *weights = inputs.values()
        values = dense_forward(x, weights)
        shifted = values[-1] - values[-1].max(axis=1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        at = np.arange(self.n), labels.astype(np.intp)
        error = np.exp(log_p)
        error[at] -= 1
        return self.result(-log_p[at].mean(), weights, dense_backward(values, weights, error / self.n))

    def make_inputs(
        self,
        direction: Direction,  # noqa: ARG002 - there is one
        dtype: str,
        distribution: Distribution,
        rng: np.random.Generator,
    ) -> dict[str, Array]:
        """Return random x, labels, most of which are the same, and weights with which no unit is at its rectifier's kink."""
        x = dense_inputs((self.n, self.in_features), dtype, distribution, rng)
        rare = rare_rows(self.n, 1, rng)[:, 0]
        labels = np.where(rare, rng.integers(0, self.classes, self.n), rng.integers(0, self.classes))
        weights = off_the_kinks(x, dense_weights(self.learned, dtype, rng), dtype)
        return {"x": x, "labels": labels.astype(np.float64), **weights}
