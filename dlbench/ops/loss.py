"""Losses: the mean of how far predictions are from what they should be, and its gradients; here those of real numbers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Distribution, Op, Shape
from dlbench.units import format_count

LARGEST_SCALE = 2**14
"""Of the gradient of a loss that a backward direction is given, at most: twice as much still is a float16 (65504)."""


class Loss(Op):
    """A loss of shape (), the mean of `terms` numbers, and its gradients with respect to some of its tensors.

    The gradient is that of each term divided by their number. As in mixed-precision training, where it would vanish in
    float16, a backward direction is given a loss scaled up (P. Micikevicius et al., Mixed precision training, 2018, section
    3.2): dloss is 1 to 2 times a power of two, that of `terms` or 2^14. It is not 0 for any data.
    """

    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")
    learned: ClassVar[tuple[str, ...]] = ("x",)
    """The tensors that it has a gradient with respect to, in the order in which it gives them."""

    @property
    @abstractmethod
    def terms(self) -> int:
        """What the mean is taken of."""

    @abstractmethod
    def tensors(self) -> dict[str, Shape]:
        """Return what the loss is computed from."""

    @abstractmethod
    def value(self, inputs: Mapping[str, Array]) -> float:
        """Return the loss."""

    @abstractmethod
    def gradients(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the gradient of the loss with respect to each learned tensor, by the tensor's name."""

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return the tensors; backward, dloss as well."""
        return self.tensors() | ({} if direction == "forward" else {"dloss": ()})

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return the loss, or its gradients."""
        if direction == "forward":
            return {"loss": ()}
        return {f"d{name}": self.tensors()[name] for name in self.learned}

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the loss, or dloss times its gradients."""
        if direction == "forward":
            return {"loss": np.asarray(self.value(inputs))}
        found = self.gradients(inputs)
        return {f"d{name}": inputs["dloss"] * found[name] for name in self.learned}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs, and a dloss of some size."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        if "dloss" in inputs:
            scale = min(2 ** (self.terms.bit_length() - 1), LARGEST_SCALE)
            inputs["dloss"] = np.asarray(rounded(np.asarray(scale * rng.uniform(1, 2)), dtype))
        return inputs


class _Regression(Loss):
    """A loss of n predictions x and their targets."""

    n: Extent

    def label(self) -> str:
        """Return the number of elements."""
        return format_count(self.n)

    @property
    def terms(self) -> int:
        """The elements."""
        return self.n

    def tensors(self) -> dict[str, Shape]:
        """Return x and target."""
        return {"x": (self.n,), "target": (self.n,)}

    def reduction_length(self, direction: Direction) -> int:
        """Return the elements, which are summed; backward 1."""
        return self.n if direction == "forward" else 1

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return the loss, or single gradients, each from the elements at its place."""
        if direction == "forward":
            return super().reference_at(direction, inputs, output, positions)
        there = {name: values[positions] if values.ndim else values for name, values in inputs.items()}
        return self.reference(direction, there)[output]


class MseLoss(_Regression):
    """loss = mean of (x - target)²; backward, dx = 2 (x - target) dloss / n.

    For each element the difference, its square and the addition; backward the difference and one product.
    """

    name: ClassVar[str] = "mse_loss"
    summary: ClassVar[str] = "mean squared error"

    def flops(self, direction: Direction) -> int:
        """Return 3 per element, 2 backward."""
        return (3 if direction == "forward" else 2) * self.n

    def value(self, inputs: Mapping[str, Array]) -> float:
        """Return the mean of the squares."""
        return float(np.mean((inputs["x"] - inputs["target"]) ** 2))

    def gradients(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return 2 (x - target) / n."""
        return {"x": 2 * (inputs["x"] - inputs["target"]) / self.n}


class L1Loss(_Regression):
    """loss = mean of |x - target|; backward, dx = sign(x - target) dloss / n, 0 where they are equal.

    For each element the difference, its magnitude and the addition; backward the difference, its sign and one product.
    """

    name: ClassVar[str] = "l1_loss"
    summary: ClassVar[str] = "mean absolute error"

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - in both
        """Return 3 per element."""
        return 3 * self.n

    def value(self, inputs: Mapping[str, Array]) -> float:
        """Return the mean of the magnitudes."""
        return float(np.mean(np.abs(inputs["x"] - inputs["target"])))

    def gradients(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the signs over n."""
        return {"x": np.sign(inputs["x"] - inputs["target"]) / self.n}
