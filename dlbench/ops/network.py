"""Whole networks, one pass forward."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import ClassVar, Self

import numpy as np
from pydantic import ValidationInfo, field_validator, model_validator

from dlbench.errors import ProblemError, nearest
from dlbench.ops.architectures import ARCHITECTURES, SIZES, bottleneck, inception
from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.layers import IMAGE, Layer, Stack
from dlbench.ops.normalization import BatchNorm
from dlbench.ops.op import Direction, Distribution, Op, Shape, draw
from dlbench.units import format_shape

SIZE = 224
"""Height and width of ImageNet's crops."""
COLOURS = 3


class Layered(Op):
    """An op of several layers, forward, batch normalisation with what training has left.

    FLOPs are those of the convolutions and fully connected layers, as published counts have them.
    """

    @property
    @abstractmethod
    def image(self) -> Shape:
        """The shape of what the first layer takes in."""

    @property
    @abstractmethod
    def layers(self) -> tuple[Layer, ...]:
        """The layers, each after those that it takes its input from."""

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return x, and the weights of every layer under the layer's name and their own."""
        weights = {name: shape for layer in self.layers for name, shape in layer.weights.items()}
        return {IMAGE: self.image, **weights}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return y, what the last layer puts out."""
        return {"y": self.layers[-1].shape}

    def parameters(self) -> int:
        """Return the weights and biases; the statistics of batch normalisation are not trained."""
        sizes = self.inputs("forward")
        fixed = (IMAGE, *(name for name in sizes if name.endswith(("_running_mean", "_running_var"))))
        return sum(math.prod(shape) for name, shape in sizes.items() if name not in fixed)

    def activations(self) -> int:
        """Return what the convolutions and fully connected layers put out (I. Radosavovic et al., arXiv 2003.13678)."""
        return sum(math.prod(layer.shape) for layer in self.layers if layer.products)

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return the operations of the convolutions and fully connected layers."""
        return sum(layer.op.flops("forward") for layer in self.layers if layer.op and layer.products)

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return the terms of the sums one after another: the errors of one come in with the values of the next."""
        return _longest(self.layers, lambda layer: layer.op.reduction_length("forward") if layer.op else 1)

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return how many layers round one after another; what picks values, as rectifiers and max pools do, rounds none."""
        return _longest(self.layers, lambda layer: int(layer.rounds))

    def reference_cost(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 0: single scores cost as much as all, so that nothing is gained by comparing some."""
        return 0

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return y, layer by layer."""
        values = {IMAGE: inputs[IMAGE]}
        for layer in self.layers:
            values[layer.name] = layer.output([values[source] for source in layer.sources], inputs)
        return {"y": values[self.layers[-1].name]}

    def make_inputs(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        dtype: str,
        distribution: Distribution,
        rng: np.random.Generator,
    ) -> dict[str, Array]:
        """Return random images and weights with which every layer keeps the scale of the last.

        Filters are scaled to a variance of 2 over their terms (K. He et al., arXiv 1502.01852, section 2.2), batch
        normalisation has factors and variances of 0.5 to 1.5; the factors are a quarter of that where a branch ends that is
        added to what went past it, or values would double in variance with each block, past float16.
        """
        inputs = {IMAGE: rounded(draw(self.image, distribution, rng), dtype)}
        damped = _ends_of_branches(self.layers)
        for layer in self.layers:
            for name, shape in layer.weights.items():
                scale = 0.25 if layer.name in damped and name.endswith("_weight") else 1
                inputs[name] = rounded(scale * _weights(layer, name, shape, rng), dtype)
        return inputs


class Network(Layered):
    """y = the scores that a network gives n images of size × size.

    `model` names the network; `size` is its own unless given. `divisor` divides the channels of every layer: the same
    structure at a fraction of the work.
    """

    name: ClassVar[str] = "network"
    summary: ClassVar[str] = "a whole network for images, forward"

    model: str
    n: Extent = 1
    size: Extent | None = None
    divisor: Extent = 1

    @field_validator("size")
    @classmethod
    def _none_as_its_own(cls, value: int | None, info: ValidationInfo) -> int | None:
        """Return None for the network's own size, so that equal problems have equal keys."""
        return None if value == SIZES.get(str(info.data.get("model")), SIZE) else value

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.model not in ARCHITECTURES:
            raise ProblemError(f"no network `{self.model}`; {nearest(self.model, ARCHITECTURES)}")
        try:
            self.layers  # noqa: B018 - builds them
        except ProblemError as error:
            raise ProblemError(f"{self.name} {self.label()}: the images are too small: {error}") from None
        return self

    @property
    def image(self) -> Shape:
        """The images' shape."""
        size = self.size or SIZES.get(self.model, SIZE)
        return self.n, COLOURS, size, size

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The network's layers."""
        return _layers(self.model, self.image, self.divisor)

    def label(self) -> str:
        """Return "resnet50 8×3×224×224" and what its channels are divided by."""
        return f"{self.model} {format_shape(self.image)}" + (
            f" channels / {self.divisor}" if self.divisor > 1 else ""
        )


class _Block(Layered):
    """A piece of a network."""

    n: Extent = 1
    c: Extent
    h: Extent
    w: Extent

    @property
    def image(self) -> Shape:
        """The input's shape."""
        return self.n, self.c, self.h, self.w

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The block's layers."""
        return _block_layers(self)

    @abstractmethod
    def stack(self, net: Stack) -> None:
        """Add the layers."""


class ResidualBottleneck(_Block):
    """y = relu(1×1 · 3×3 · 1×1 of x + x), each convolution normalised, as ResNet-50's blocks are (arXiv 1512.03385).

    `width` is the channels of the first two convolutions, a quarter of the last one's; the 3×3 has the stride. Where the
    shape changes x is projected by a 1×1 convolution.
    """

    name: ClassVar[str] = "residual_bottleneck"
    summary: ClassVar[str] = "a residual block of three convolutions"

    width: Extent
    stride: Extent = 1

    def label(self) -> str:
        """Return "1×256×56×56 → 64, 64, 256 /2"."""
        stride = f" /{self.stride}" if self.stride > 1 else ""
        return f"{format_shape(self.image)} → {self.width}, {self.width}, {4 * self.width}{stride}"

    def stack(self, net: Stack) -> None:
        """Add the bottleneck's layers."""
        bottleneck(net, "block", self.width, self.stride)


class InceptionBlock(_Block):
    """y = the channels of 1×1, 1×1 · 3×3, 1×1 · 5×5 and pool · 1×1 of x together, as in GoogLeNet (arXiv 1409.4842)."""

    name: ClassVar[str] = "inception_block"
    summary: ClassVar[str] = "four branches of convolutions put together"

    ones: Extent
    reduce3: Extent
    threes: Extent
    reduce5: Extent
    fives: Extent
    projected: Extent

    @property
    def branches(self) -> tuple[int, ...]:
        """The channels of each convolution, in the order of the published table."""
        return self.ones, self.reduce3, self.threes, self.reduce5, self.fives, self.projected

    def label(self) -> str:
        """Return "1×192×28×28 → 64, 96-128, 16-32, 32"."""
        ones, reduce3, threes, reduce5, fives, projected = self.branches
        return f"{format_shape(self.image)} → {ones}, {reduce3}-{threes}, {reduce5}-{fives}, {projected}"

    def stack(self, net: Stack) -> None:
        """Add the module's layers."""
        inception(net, "block", self.branches)


def _ends_of_branches(layers: tuple[Layer, ...]) -> set[str]:
    """Return the last normalisation of each branch that is added to what went past it."""
    by_name = {layer.name: layer for layer in layers}
    ends = set()
    for layer in layers:
        if layer.op is None and layer.join == "sum":
            end = by_name[layer.sources[0]]
            while not isinstance(end.op, BatchNorm):
                end = by_name[end.sources[0]]
            ends.add(end.name)
    return ends


def _weights(layer: Layer, name: str, shape: Shape, rng: np.random.Generator) -> Array:
    drawn = rng.standard_normal(shape, dtype=np.float32).astype(np.float64)
    if isinstance(layer.op, BatchNorm):
        return _statistics(drawn) if name.endswith(("_weight", "_running_var")) else drawn / 10
    return drawn * math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else drawn / 10


def _statistics(drawn: Array) -> Array:
    """Return factors and variances between 0.5 and 1.5."""
    return 1 + np.tanh(drawn) / 2


def _longest(layers: tuple[Layer, ...], cost: Callable[[Layer], int]) -> int:
    """Return the cost of the dearest path from the image to the end, 1 at least."""
    paths = {IMAGE: 0}
    for layer in layers:
        paths[layer.name] = cost(layer) + max(paths[source] for source in layer.sources)
    return max(1, paths[layers[-1].name])


@lru_cache(maxsize=64)
def _block_layers(block: _Block) -> tuple[Layer, ...]:
    net = Stack(block.image)
    block.stack(net)
    return tuple(net.layers)


@lru_cache(maxsize=16)
def _layers(model: str, image: Shape, divisor: int) -> tuple[Layer, ...]:
    net = Stack(image, divisor)
    ARCHITECTURES[model](net)
    return tuple(net.layers)
