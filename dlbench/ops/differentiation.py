"""The gradient of a small network, computed in several modes of differentiation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeVar

import numpy as np

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Distribution, Op, Shape

Tensor = TypeVar("Tensor")
"""A framework's."""


class NetworkGradient(Op):
    """The gradient, in all weights, of E = sum of (y - t)² / (2·batch) with y = Wₗ (gₗ₋₁ ⊙ … W₂ (g₁ ⊙ W₁ x)).

    `layers` matrices of width × width, and between them gates of 0 and 1 which are given, as a ReLU's or a dropout's are
    once they are known. With the gates fixed E is a polynomial of the second degree in each single weight, so that a central
    difference with any step is its derivative exactly, and finite differences are held to the same tolerance as the others.

    One gradient takes reverse mode about three passes, forward mode one pass for each weight, and finite differences
    two (A. Griewank & A. Walther, Evaluating Derivatives, 2nd ed., 2008, chapter 4): linear in the weights, and quadratic.
    FLOPs are those of the products of reverse mode, 2·batch·width²·(3·layers - 1), whichever mode computes it: nothing is
    taken back to x.
    """

    name: ClassVar[str] = "network_gradient"
    summary: ClassVar[str] = "gradient of a network in all its weights"
    directions: ClassVar[tuple[Direction, ...]] = ("forward_backward",)

    width: Extent
    batch: Extent = 64
    layers: Extent = 2

    def label(self) -> str:
        """Return "2 layers of 64×64, batch 32"."""
        return (
            f"{self.layers} layer{'s' * (self.layers > 1)} of {self.width}×{self.width}, batch {self.batch}"
        )

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - there is one
        """Return x and t (batch × width), the weights, and the gates between the layers (batch × width)."""
        rows = (self.batch, self.width)
        weights = {f"w{layer}": (self.width, self.width) for layer in range(1, self.layers + 1)}
        gates = {f"g{layer}": rows for layer in range(1, self.layers)}
        return {"x": rows, "t": rows, **weights, **gates}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - there is one
        """Return the gradient of each layer's weights."""
        return {f"dw{layer}": (self.width, self.width) for layer in range(1, self.layers + 1)}

    def parameters(self) -> int:
        """Return the weights of all layers."""
        return self.layers * self.width**2

    def activations(self) -> int:
        """Return what the layers put out."""
        return self.layers * self.batch * self.width

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return 2·batch·width²·(3·layers - 1)."""
        return 2 * self.batch * self.width**2 * (3 * self.layers - 1)

    def reference_cost(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return 0, which has the reference computed as a whole whatever its size: samples would cost as much."""
        return 0

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return layers·width + batch·width: the sums of a pass, and those of E, which finite differences subtract."""
        return (self.layers + self.batch) * self.width

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return the products behind a gradient of the first layer, all the way up and down."""
        return 2 * self.layers

    @property
    def step(self) -> float:
        """By how much finite differences change a weight: sqrt(width).

        Any step is exact but for rounding. E is of order width, and its change of order step · sqrt(width), so a short step
        loses digits to the subtraction; past this one the term of second order is what is largest.
        """
        return math.sqrt(self.width)

    def parts(self, tensors: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[Tensor], list[Tensor]]:
        """Return x, t, the weights and the gates of tensors in the order of `inputs`."""
        weights = list(tensors[2 : 2 + self.layers])
        return tensors[0], tensors[1], weights, list(tensors[2 + self.layers :])

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the gradients, by the chain rule from the last layer to the first."""
        x, t, weights, gates = self.parts(list(inputs.values()))
        entering = [x]
        for weight, gate in zip(weights, gates, strict=False):
            entering.append(gate * (entering[-1] @ weight.T))
        error = (entering[-1] @ weights[-1].T - t) / self.batch
        found = {}
        for layer in range(self.layers, 0, -1):
            found[f"dw{layer}"] = error.T @ entering[layer - 1]
            if layer > 1:
                error = gates[layer - 2] * (error @ weights[layer - 1])
        return {name: found[name] for name in self.outputs("forward_backward")}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; the weights are divided by sqrt(width), so that each layer keeps the scale of the last."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        for name, values in inputs.items():
            if name.startswith("w"):
                inputs[name] = rounded(values / math.sqrt(self.width), dtype)
            elif name.startswith("g"):
                inputs[name] = rng.integers(0, 1, values.shape, endpoint=True).astype(np.float64)
        return inputs
