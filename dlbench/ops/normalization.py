"""Normalisation: of batches, layers, groups, instances, by the root mean square, and of neighbouring channels."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.normal import EPS, Folding, Norm
from dlbench.ops.op import Direction, Distribution, Op, Shape
from dlbench.units import format_shape


class _OverImages(Norm):
    """A normalisation of images n × c × h × w with a weight and a bias for each channel."""

    n: Extent = 1
    c: Extent
    h: Extent
    w: Extent

    @property
    def x_shape(self) -> Shape:
        """The input's shape, which is also the output's."""
        return self.n, self.c, self.h, self.w

    def label(self) -> str:
        """Return "32×64×56×56"."""
        return format_shape(self.x_shape)


class BatchNorm(_OverImages):
    """Each channel of n × c × h × w is a group, over all images (S. Ioffe & C. Szegedy, Batch Normalization, 2015).

    In `training` mean and variance are those of x. Otherwise they are given, as the running ones that training has left:
    inputs running_mean and running_var, which is drawn as 1 + |·|. Training updates no running statistics here: they are
    a state. FLOPs per element: 7, backward 9 (standardised x 2, their two sums 3, dx 4); not in training 4 and 6.
    """

    name: ClassVar[str] = "batch_norm"
    summary: ClassVar[str] = "batch normalization"
    layouts: ClassVar[tuple[str, ...]] = ("NCHW", "NHWC")

    training: bool = True

    def _misfit(self) -> str:
        return super()._misfit() if self.training else ""

    @property
    def folding(self) -> Folding:
        """How the input is seen as groups."""
        return Folding((self.n, self.c, self.h * self.w), (0, 2), (self.c, 1))

    @property
    def operations(self) -> tuple[int, int]:
        """FLOPs per element, forward and backward."""
        return (7, 9) if self.training else (4, 6)

    def label(self) -> str:
        """Return "32×64×56×56 inference"."""
        return super().label() + ("" if self.training else " inference")

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x, weight and bias, or x, dy and weight; not in training the running statistics as well."""
        running = (
            {} if self.training else {"running_mean": self.weight_shape, "running_var": self.weight_shape}
        )
        return super().inputs(direction) | running

    def reduction_length(self, direction: Direction) -> int:
        """Return the elements of a channel; 1 where nothing is added up."""
        return super().reduction_length(direction) if self.training or direction == "backward" else 1

    def _smallest_variance(self) -> float:
        return super()._smallest_variance() if self.training else 1.0

    def statistics(self, inputs: Mapping[str, Array]) -> tuple[Array, Array]:
        """Return each channel's mean and 1 / std, in shapes that broadcast over the folding's."""
        if self.training:
            return super().statistics(inputs)
        mean, variance = (inputs[name].reshape(self.c, 1) for name in ("running_mean", "running_var"))
        return mean, 1 / np.sqrt(variance + EPS)

    def _of_rows(
        self, inputs: Mapping[str, Array], x: Array, groups: NDArray[np.intp]
    ) -> tuple[Array, Array]:
        if self.training:
            return super()._of_rows(inputs, x, groups)
        mean, scale = self.statistics(inputs)
        return mean[groups], scale[groups]

    def _gradient(self, gain: Array, standard: Array, scale: Array, axes: tuple[int, ...]) -> Array:
        return super()._gradient(gain, standard, scale, axes) if self.training else scale * gain

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return random inputs; the running variance is 1 + |·| of what is drawn, which is exact for whole numbers."""
        inputs = super().make_inputs(direction, dtype, distribution, rng)
        if not self.training:
            inputs["running_var"] = rounded(1 + np.abs(inputs["running_var"]), dtype)
        return inputs


class GroupNorm(_OverImages):
    """Some channels of one image are a group: c / groups × h × w (Y. Wu & K. He, Group Normalization, 2018).

    FLOPs per element: 7, backward 10: as batch normalisation, and the product of dy and weight, which a group's sums are of.
    """

    name: ClassVar[str] = "group_norm"
    summary: ClassVar[str] = "group normalization"
    layouts: ClassVar[tuple[str, ...]] = ("NCHW", "NHWC")

    groups: Extent

    def _misfit(self) -> str:
        if self.c % self.groups:
            return f"{self.c} channels do not divide into {self.groups} groups"
        return super()._misfit()

    @property
    def folding(self) -> Folding:
        """How the input is seen as groups."""
        each = self.c // self.groups
        return Folding((self.n, self.groups, each, self.h * self.w), (2, 3), (self.groups, each, 1))

    @property
    def operations(self) -> tuple[int, int]:
        """FLOPs per element, forward and backward."""
        return 7, 10

    def label(self) -> str:
        """Return "32×64×56×56 in 32 groups"."""
        return f"{super().label()} in {self.groups} groups"


class InstanceNorm(_OverImages):
    """Each channel of each image is a group (D. Ulyanov et al., Instance Normalization, 2016).

    With a weight and a bias, which torch's InstanceNorm2d has as `affine`. FLOPs per element: 7, backward 9.
    """

    name: ClassVar[str] = "instance_norm"
    summary: ClassVar[str] = "instance normalization"

    @property
    def folding(self) -> Folding:
        """How the input is seen as groups."""
        return Folding((self.n, self.c, self.h * self.w), (2,), (self.c, 1))

    @property
    def operations(self) -> tuple[int, int]:
        """FLOPs per element, forward and backward."""
        return 7, 9


class _OverRows(Norm):
    """A normalisation of each row of a matrix, with a weight for each column."""

    rows: Extent
    cols: Extent

    @property
    def x_shape(self) -> Shape:
        """The input's shape, which is also the output's."""
        return self.rows, self.cols

    @property
    def folding(self) -> Folding:
        """How the input is seen as groups."""
        return Folding(self.x_shape, (1,), (self.cols,))

    def label(self) -> str:
        """Return "4096×768"."""
        return format_shape(self.x_shape)


class LayerNorm(_OverRows):
    """Each row of rows × cols is a group (J. L. Ba et al., Layer Normalization, 2016).

    FLOPs per element: 7, backward 13: standardised x 2, dbias 1, dweight 2, the product of dy and weight 1, its two sums
    3, and dx 4.
    """

    name: ClassVar[str] = "layer_norm"
    summary: ClassVar[str] = "layer normalization of rows"

    @property
    def operations(self) -> tuple[int, int]:
        """FLOPs per element, forward and backward."""
        return 7, 13


class RmsNorm(_OverRows):
    """y = x / sqrt(mean of x² + EPS) · weight, row by row (B. Zhang & R. Sennrich, RMS Normalization, 2019).

    Neither is a mean taken off nor a bias added. FLOPs per element: 4, the square's product and addition and the two
    products; backward 9: standardised x 1, dweight 2, the product of dy and weight 1, its sum 2, and dx 3.
    """

    name: ClassVar[str] = "rms_norm"
    summary: ClassVar[str] = "root mean square normalization of rows"
    centred: ClassVar[bool] = False

    @property
    def operations(self) -> tuple[int, int]:
        """FLOPs per element, forward and backward."""
        return 4, 9


class LocalResponseNorm(Op):
    """y[n,c] = x[n,c] / (k + alpha / size · sum of x[n,c']²)^beta over `size` channels c' around c, pixel by pixel.

    A. Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, 2012, section 3.3, whose
    constants are the defaults. As in torch alpha is divided by size, which that paper does not do, and the neighbours are
    from c - size // 2 to c + (size - 1) // 2; there are none beyond the first and the last channel. FLOPs per element:
    size + 5, backward size + 7: the power of the denominator, the products with dy and x and the division, the sum, two
    products and a subtraction. The denominators, before the power, are kept by the forward pass for the backward one, and
    are neither timed nor counted there.
    """

    name: ClassVar[str] = "local_response_norm"
    summary: ClassVar[str] = "local response normalization over channels"
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")
    layouts: ClassVar[tuple[str, ...]] = ("NCHW", "NHWC")

    n: Extent = 1
    c: Extent
    h: Extent
    w: Extent
    size: Extent = 5
    alpha: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1e-4
    beta: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.75
    k: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 2.0

    @property
    def x_shape(self) -> Shape:
        """The input's shape, which is also the output's."""
        return self.n, self.c, self.h, self.w

    @property
    def neighbours(self) -> tuple[int, int]:
        """How many channels before and after one are in its sum."""
        return self.size // 2, (self.size - 1) // 2

    @property
    def rate(self) -> float:
        """What the sum of squares is multiplied with."""
        return self.alpha / self.size

    def label(self) -> str:
        """Return "128×96×55×55, size 5" and the constants that are not AlexNet's."""
        usual = {name: field.default for name, field in type(self).model_fields.items()}
        other = [
            f"{name} {value:g}"
            for name in ("alpha", "beta", "k")
            if (value := getattr(self, name)) != usual[name]
        ]
        return " ".join([f"{format_shape(self.x_shape)}, size {self.size}", *other])

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x, and for its gradient dy as well."""
        return {"x": self.x_shape} if direction == "forward" else {"x": self.x_shape, "dy": self.x_shape}

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y or dx."""
        return {"y" if direction == "forward" else "dx": self.x_shape}

    def flops(self, direction: Direction) -> int:
        """Return size + 5 per element, backward size + 7."""
        return (self.size + (5 if direction == "forward" else 7)) * math.prod(self.x_shape)

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - the same in both directions
        """Return the channels in a sum."""
        return min(self.size, self.c)

    def roundings(self, direction: Direction) -> int:
        """Return how many of a framework's operations are in a row.

        Forward 6: square, mean, product with alpha, sum with k, power, division. Backward, after the first five of these,
        9: two divisions, product with dy, product with the power's derivative, with alpha, the mean's gradient, the
        square's as a product that is added to itself, and the sum with the other term.
        """
        return 6 if direction == "forward" else 14

    def denominators(self, x: Array) -> Array:
        """Return k + alpha / size · sum of squares, before the power."""
        return self.k + self.rate * self._summed(np.square(x.astype(np.float64)), *self.neighbours)

    def _summed(self, values: Array, before: int, after: int) -> Array:
        """Return the sums over so many channels before and after each."""
        around = np.pad(values, ((0, 0), (before, after), (0, 0), (0, 0)))
        total = np.zeros(values.shape)
        for at in range(self.size):
            total += around[:, at : at + self.c]
        return total

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return y or dx."""
        x = inputs["x"]
        denominators = self.denominators(x)
        powers = denominators**-self.beta
        if direction == "forward":
            return {"y": x * powers}
        before, after = self.neighbours  # the other way round: the channels that have this one in their sum
        shared = self._summed(inputs["dy"] * powers * x / denominators, after, before)
        return {"dx": inputs["dy"] * powers - 2 * self.rate * self.beta * x * shared}

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: NDArray[np.intp],
    ) -> Array:
        """Return single outputs, from all channels of their own pixels."""
        image, channel, row, column = np.unravel_index(positions, self.x_shape)
        pixels = self.model_copy(update={"n": len(positions), "h": 1, "w": 1})
        given = {name: one[image, :, row, column][..., None, None] for name, one in inputs.items()}
        values: Array = pixels.reference(direction, given)[output][np.arange(len(positions)), channel, 0, 0]
        return values
