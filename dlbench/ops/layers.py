"""The layers of a network: ops in a graph, each with the names of those it takes its input from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from dlbench.ops.activation import LeakyRelu, Relu
from dlbench.ops.conv import Conv2d
from dlbench.ops.dtypes import Array
from dlbench.ops.linear import Linear
from dlbench.ops.normalization import BatchNorm, LocalResponseNorm
from dlbench.ops.op import Op, Shape
from dlbench.ops.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d

IMAGE = "x"
"""The name of what the first layer takes in."""
CLASSES = 1000
"""Of ImageNet, which all these networks tell apart."""
Join = Literal["sum", "concat"]


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: an op of one image and its weights, or what joins several layers, their sum or their channels together.

    `shape` is its output's, of n × channels × height × width or n × features. `bias` says that a convolution adds a number
    to each of its output's channels; the fully connected layer's is a part of its op.
    """

    name: str
    sources: tuple[str, ...]
    shape: Shape
    op: Op | None = None
    join: Join = "sum"
    bias: bool = False

    @property
    def weights(self) -> dict[str, Shape]:
        """The shapes of the tensors that it takes beside its input, by their names in the network."""
        if self.op is None:
            return {}
        _, *others = self.op.inputs("forward").items()
        bias = [("b", (self.shape[1],))] if self.bias else []
        return {f"{self.name}_{name}": shape for name, shape in (*others, *bias)}

    @property
    def in_shape(self) -> Shape:
        """The shape in which its op takes its input."""
        if self.op is None:
            return self.shape
        return next(iter(self.op.inputs("forward").values()))

    @property
    def products(self) -> bool:
        """Whether it is a convolution or a fully connected layer, which are what a network's operations are counted in."""
        return isinstance(self.op, Conv2d | Linear)

    @property
    def rounds(self) -> bool:
        """Whether it computes numbers that were not there, which are rounded; others only pick or place them."""
        return self.join == "sum" if self.op is None else not isinstance(self.op, Relu | MaxPool2d)

    def output(self, inputs: list[Array], weights: Mapping[str, Array]) -> Array:
        """Return the float64 output."""
        if self.op is None:
            joined: Array = sum(inputs[1:], inputs[0]) if self.join == "sum" else np.concatenate(inputs, 1)
            return joined
        given = [inputs[0].reshape(self.in_shape), *(weights[name] for name in self.weights)]
        bias = given.pop() if self.bias else None
        named = dict(zip(self.op.inputs("forward"), given, strict=True))
        (value,) = self.op.reference("forward", named).values()
        value = value.reshape(self.shape)
        return value if bias is None else value + bias[:, None, None]


@dataclass
class Stack:
    """Layers on one another, as they are added; each goes on from the last one unless it is told from which.

    `divisor` divides the channels of every layer, so that a network's structure can be had at a fraction of its size.
    """

    shape: Shape
    divisor: int = 1
    layers: list[Layer] = field(default_factory=list)
    last: str = IMAGE

    def channels(self, count: int) -> int:
        """Return so many channels divided, one at least."""
        return max(1, count // self.divisor)

    def shape_of(self, name: str) -> Shape:
        """Return the shape of a layer's output, or of the image. Raises KeyError for a name that there is not."""
        return {IMAGE: self.shape, **{layer.name: layer.shape for layer in self.layers}}[name]

    def conv(
        self, name: str, k: int, r: int, stride: int = 1, pad: int = 0, *, bias: bool = True, after: str = ""
    ) -> None:
        """Add a convolution of k filters of r × r."""
        n, c, h, w = self.shape_of(after or self.last)
        op = Conv2d(n=n, c=c, h=h, w=w, k=self.channels(k), r=r, s=r, stride=stride, pad=pad)
        self._add(name, op, op.y_shape, after=after, bias=bias)

    def depthwise(self, name: str, stride: int) -> None:
        """Add a convolution of 3 × 3 for each channel by itself."""
        n, c, h, w = self.shape_of(self.last)
        op = Conv2d(n=n, c=c, h=h, w=w, k=c, r=3, s=3, stride=stride, pad=1, groups=c)
        self._add(name, op, op.y_shape)

    def batch_norm(self, name: str) -> None:
        """Add batch normalisation by statistics that training has left."""
        n, c, h, w = shape = self.shape_of(self.last)
        self._add(name, BatchNorm(n=n, c=c, h=h, w=w, training=False), shape)

    def local_response_norm(self, name: str) -> None:
        """Add local response normalisation over five channels."""
        n, c, h, w = shape = self.shape_of(self.last)
        self._add(name, LocalResponseNorm(n=n, c=c, h=h, w=w), shape)

    def relu(self, name: str) -> None:
        """Add a rectifier."""
        shape = self.shape_of(self.last)
        self._add(name, Relu(n=math.prod(shape)), shape)

    def leaky_relu(self, name: str, slope: float) -> None:
        """Add a leaky rectifier."""
        shape = self.shape_of(self.last)
        self._add(name, LeakyRelu(n=math.prod(shape), slope=slope), shape)

    def max_pool(
        self, name: str, r: int, stride: int, pad: int = 0, *, ceil: bool = False, after: str = ""
    ) -> None:
        """Add max pooling."""
        n, c, h, w = self.shape_of(after or self.last)
        op = MaxPool2d(n=n, c=c, h=h, w=w, r=r, s=r, stride=stride, pad=pad, ceil=ceil)
        self._add(name, op, op.y_shape, after=after)

    def avg_pool(self, name: str, r: int, stride: int) -> None:
        """Add average pooling."""
        n, c, h, w = self.shape_of(self.last)
        op = AvgPool2d(n=n, c=c, h=h, w=w, r=r, s=r, stride=stride)
        self._add(name, op, op.y_shape)

    def global_avg_pool(self, name: str) -> None:
        """Add the mean of each channel."""
        n, c, h, w = self.shape_of(self.last)
        op = AdaptiveAvgPool2d(n=n, c=c, h=h, w=w, p=1, q=1)
        self._add(name, op, op.y_shape)

    def linear(self, name: str, features: int) -> None:
        """Add a fully connected layer over all that is there of an image."""
        n, *rest = self.shape_of(self.last)
        op = Linear(n=n, in_features=math.prod(rest), out_features=self.channels(features))
        self._add(name, op, (n, op.out_features))

    def sum(self, name: str, *sources: str) -> None:
        """Add the sum of layers of one shape."""
        self.layers.append(Layer(name, sources, self.shape_of(sources[0]), join="sum"))
        self.last = name

    def concat(self, name: str, *sources: str) -> None:
        """Put the channels of layers together."""
        n, _, *rest = self.shape_of(sources[0])
        channels = sum(self.shape_of(source)[1] for source in sources)
        self.layers.append(Layer(name, sources, (n, channels, *rest), join="concat"))
        self.last = name

    def _add(self, name: str, op: Op, shape: Shape, *, after: str = "", bias: bool = False) -> None:
        self.layers.append(Layer(name, (after or self.last,), shape, op, bias=bias))
        self.last = name
