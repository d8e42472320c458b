"""What the ops of normalisation share: x less the mean of its group, over the root of the group's variance."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.op import Direction, Distribution, Op, Shape

EPS = 1e-5
"""What is added to a variance. torch's default for batch, layer, group and instance norm, and what Llama 2 and 3 have in
their RMS norm (norm_eps)."""


class Folding(NamedTuple):
    """How the input is seen so that the groups which are normalised lie along whole axes.

    `shape` is the input's with axes split or joined, `axes` those along which a group lies, and `weights` the shape with
    which weight and bias broadcast over it.
    """

    shape: Shape
    axes: tuple[int, ...]
    weights: Shape

    @property
    def others(self) -> tuple[int, ...]:
        """The axes along which the groups are counted."""
        return tuple(axis for axis in range(len(self.shape)) if axis not in self.axes)

    @property
    def shared(self) -> tuple[int, ...]:
        """The axes along which a weight is the same."""
        spread = len(self.shape) - len(self.weights)
        return tuple(
            axis for axis in range(len(self.shape)) if axis < spread or self.weights[axis - spread] == 1
        )

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return math.prod(self.shape[axis] for axis in self.others)

    @property
    def members(self) -> int:
        """How many elements a group has."""
        return math.prod(self.shape[axis] for axis in self.axes)

    def rows(self, tensor: Array, groups: NDArray[np.intp]) -> Array:
        """Return the members of some groups of a tensor that broadcasts over the shape, a row for each group."""
        lead = np.broadcast_to(tensor, self.shape).transpose(*self.others, *self.axes)
        return lead[np.unravel_index(groups, lead.shape[: len(self.others)])].reshape(len(groups), -1)

    def places(self, positions: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Return the group and the member that each flat position is."""
        at = np.unravel_index(positions, self.shape)
        group, member = (
            np.ravel_multi_index([at[axis] for axis in axes], [self.shape[axis] for axis in axes])
            for axes in (self.others, self.axes)
        )
        return np.asarray(group, np.intp), np.asarray(member, np.intp)


class Norm(Op):
    """y = (x - mean) / sqrt(variance + EPS) · weight + bias; mean and variance are those of the group x is in.

    The variance is the biased one, divided by the group's size. FLOPs are those per element of the textbook's two passes,
    and what is done once for a group or a weight is not counted: forward 7, an addition to the mean, the deviation, its
    square's product and addition, and the products with 1 / std and weight and the addition of bias.

    Backward gives all gradients. It starts from each group's mean and 1 / std, which the forward pass of a training step
    has kept for it: they are computed before the call and are not timed, in every variant. They are not among the
    compulsory bytes either, which are those of the inputs and outputs, each once.
    """

    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")
    centred: ClassVar[bool] = True
    """Whether the mean is taken off, and a bias added."""

    @property
    @abstractmethod
    def x_shape(self) -> Shape:
        """The input's shape, which is also the output's."""

    @property
    @abstractmethod
    def folding(self) -> Folding:
        """How the input is seen as groups."""

    @property
    @abstractmethod
    def operations(self) -> tuple[int, int]:
        """FLOPs per element, forward and backward."""

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if why := self._misfit():
            raise ProblemError(f"{self.name} {self.label()}: {why}")
        return self

    def _misfit(self) -> str:
        """Return what is wrong with the parameters; empty where nothing is.

        A group of one element is all mean, and one of two has a gradient of the order of EPS, which rounding errors hide.
        """
        least = 2 + self.centred
        if self.folding.members >= least:
            return ""
        return f"a group has {self.folding.members} elements, and its gradient needs {least}"

    @property
    def weight_shape(self) -> Shape:
        """The shape of weight and bias."""
        return (math.prod(self.folding.weights),)

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x, weight and bias; for the gradients x, dy and weight."""
        if direction == "backward":
            return {"x": self.x_shape, "dy": self.x_shape, "weight": self.weight_shape}
        bias = {"bias": self.weight_shape} if self.centred else {}
        return {"x": self.x_shape, "weight": self.weight_shape, **bias}

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y, or dx, dweight and dbias."""
        if direction == "forward":
            return {"y": self.x_shape}
        bias = {"dbias": self.weight_shape} if self.centred else {}
        return {"dx": self.x_shape, "dweight": self.weight_shape, **bias}

    def flops(self, direction: Direction) -> int:
        """Return the operations per element, times the elements."""
        forward, backward = self.operations
        return (forward if direction == "forward" else backward) * math.prod(self.x_shape)

    def reduction_length(self, direction: Direction) -> int:
        """Return the members of a group; backward at least the elements that share a weight, whose gradients are summed."""
        folding = self.folding
        if direction == "forward":
            return folding.members
        return max(folding.members, math.prod(folding.shape[axis] for axis in folding.shared))

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; a uniform dy is drawn from -1/2 to 1/2.

        Were its mean not 0, the weight's gradient, which is a covariance, would be a small difference: it has the rounding
        error of the mean of x multiplied with the sum of dy.
        """
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        if direction == "backward" and distribution == "uniform":
            inputs["dy"] = rounded(inputs["dy"] - 0.5, dtype)
        return inputs

    def crest(self, direction: Direction) -> float:
        """Return how much farther the largest output stands out than that of normal data.

        A product of a normal number and one of C normal weights is up to sqrt(2 ln C) times as large. And the smallest
        variance of G groups is about G^(-2/k) of a typical one, for a group's k degrees of freedom (the distribution of
        chi² near 0 is as x^(k/2)); a deviation is divided by its root, and with it the rounding error of x - mean, which
        is in proportion to x. The gradient is divided by it twice over. EPS is the least that is divided by.
        """
        outstanding = math.sqrt(2 * math.log(math.prod(self.weight_shape) + 1))
        shrink = self._smallest_variance()
        return max(1.0, outstanding) / (math.sqrt(shrink) if direction == "forward" else shrink)

    def _smallest_variance(self) -> float:
        """Return how small the smallest variance is likely to be beside a typical one."""
        folding = self.folding
        return max(EPS, math.pow(folding.groups, -2 / (folding.members - self.centred)))

    def statistics(self, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return each group's mean and 1 / std, in shapes that broadcast over the folding's."""
        folding = self.folding
        return self._of_groups(inputs["x"].reshape(folding.shape).astype(np.float64), folding.axes)

    def _of_groups(self, x: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
        mean = x.mean(axis=axes, keepdims=True) if self.centred else np.zeros((1,) * x.ndim)
        return mean, 1 / np.sqrt(np.square(x - mean).mean(axis=axes, keepdims=True) + EPS)

    def _of_rows(
        self,
        inputs: Mapping[str, Array],  # noqa: ARG002 - for overriding
        x: Array,
        groups: NDArray[np.intp],  # noqa: ARG002 - for overriding
    ) -> tuple[Array, Array]:
        """Return the mean and 1 / std of some groups, whose members are the rows of x."""
        return self._of_groups(x, (1,))

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return y, or dx, dweight and dbias."""
        folding = self.folding
        x, weight = inputs["x"].reshape(folding.shape), inputs["weight"].reshape(folding.weights)
        mean, scale = self.statistics(inputs)
        standard = (x - mean) * scale
        if direction == "forward":
            return {"y": (standard * weight + self._bias(inputs)).reshape(self.x_shape)}
        gain = inputs["dy"].reshape(folding.shape) * weight
        dx = self._gradient(gain, standard, scale, folding.axes)
        return {"dx": dx.reshape(self.x_shape)} | self._weight_gradients(inputs, standard)

    def _bias(self, inputs: Mapping[str, Array]) -> Array:
        return inputs["bias"].reshape(self.folding.weights) if self.centred else np.zeros(())

    def _gradient(self, gain: Array, standard: Array, scale: Array, axes: tuple[int, ...]) -> Array:
        """Return dx for the gradients of what the weight is multiplied with.

        Ioffe & Szegedy 2015, section 3, put together: what changes the group's mean or its variance is taken off.
        """
        along = (gain * standard).mean(axis=axes, keepdims=True)
        mean = gain.mean(axis=axes, keepdims=True) if self.centred else np.zeros(())
        gradient: Array = scale * (gain - mean - standard * along)
        return gradient

    def _weight_gradients(self, inputs: Mapping[str, Array], standard: Array) -> dict[str, Array]:
        folding = self.folding
        dy = inputs["dy"].reshape(folding.shape)
        products = {"dweight": dy * standard} | ({"dbias": dy} if self.centred else {})
        return {
            name: one.sum(axis=folding.shared).reshape(self.weight_shape) for name, one in products.items()
        }

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: NDArray[np.intp],
    ) -> Array:
        """Return single outputs: y and dx from their own groups, the weight's gradients from all elements."""
        folding = self.folding
        if output in ("dweight", "dbias"):
            mean, scale = self.statistics(inputs)
            standard = (inputs["x"].reshape(folding.shape) - mean) * scale
            return self._weight_gradients(inputs, standard)[output][positions]
        groups, members = folding.places(positions)
        wanted, row = np.unique(groups, return_inverse=True)
        x = folding.rows(inputs["x"].reshape(folding.shape), wanted)
        weight = folding.rows(inputs["weight"].reshape(folding.weights), wanted)
        mean, scale = self._of_rows(inputs, x, wanted)
        standard = (x - mean) * scale
        if direction == "forward":
            values = standard * weight + folding.rows(self._bias(inputs), wanted)
        else:
            gain = folding.rows(inputs["dy"].reshape(folding.shape), wanted) * weight
            values = self._gradient(gain, standard, scale, (1,))
        return values[row, members]
