"""The columns of a convolution, on whose product with the filters it can be computed, and the way back (K. Chellapilla et
al., High Performance Convolutional Neural Networks for Document Processing, 2006)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from pydantic import field_validator, model_validator

from dlbench.errors import ProblemError
from dlbench.ops import conv_reference
from dlbench.ops.conv_geometry import Geometry, both, none_as_the_other
from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent, Padding
from dlbench.ops.freivalds import signs
from dlbench.ops.op import Direction, Op, Shape
from dlbench.units import format_shape

Index = np.ndarray[Any, np.dtype[np.intp]]


class Im2col(Op):
    """columns[n, (c, r, s), (p, q)] = x[n, c, p·stride + r·dilation - pad, …], 0 in the padding; torch calls it unfold.

    Input n × c × h × w, columns n × c·r·s × p·q. The way back, col2im or fold, adds each entry of the columns to the
    element of x that it was gathered from. FLOPs: none forward, where nothing is computed, and an addition for each
    entry of the columns backward, padding counted.
    """

    name: ClassVar[str] = "im2col"
    summary: ClassVar[str] = "columns of a convolution"
    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")

    n: Extent = 1
    c: Extent
    h: Extent
    w: Extent
    r: Extent
    s: Extent
    stride: Extent = 1
    stride_w: Extent | None = None
    pad: Padding = 0
    pad_w: Padding | None = None
    dilation: Extent = 1

    _shared = field_validator("stride_w", "pad_w")(none_as_the_other)

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if misfit := self.geometry.misfit():
            raise ProblemError(f"{self.name} {self.label()}: {misfit}")
        return self

    @property
    def geometry(self) -> Geometry:
        """The shapes of the convolution, by one filter, whose columns these are."""
        return Geometry.fitted(
            self.n,
            self.c,
            1,
            (self.h, self.w),
            (self.r, self.s),
            strides=both(self.stride, self.stride_w),
            pads=both(self.pad, self.pad_w),
            dilation=self.dilation,
        )

    @property
    def columns_shape(self) -> Shape:
        """The columns' shape."""
        conv = self.geometry
        return self.n, self.c * conv.taps, conv.positions

    def label(self) -> str:
        """Return "1×64×56×56, 3×3" and what differs from stride 1 without padding."""
        conv = self.geometry
        return " ".join([f"{format_shape(conv.x_shape)}, {self.r}×{self.s}", *conv.differences()])

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x, or the gradient of the columns."""
        if direction == "backward":
            return {"dcolumns": self.columns_shape}
        return {"x": self.geometry.x_shape}

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return the columns, or the gradient of x."""
        if direction == "backward":
            return {"dx": self.geometry.x_shape}
        return {"columns": self.columns_shape}

    def flops(self, direction: Direction) -> int:
        """Return 0, or n·c·r·s·p·q additions backward."""
        return math.prod(self.columns_shape) if direction == "backward" else 0

    def reduction_length(self, direction: Direction) -> int:
        """Return 1, or the r·s entries that an element of the gradient has at most."""
        return self.geometry.taps if direction == "backward" else 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the columns tap by tap, or the sums of where each tap's were gathered from."""
        conv = self.geometry
        by_tap = (self.n, self.c, *conv.window, *conv.places)
        if direction == "backward":
            columns, around = inputs["dcolumns"].reshape(by_tap), np.zeros((self.n, self.c, *conv.padded))
            for row, column in np.ndindex(conv.window):
                conv_reference.tap(conv, around, (row, column))[...] += columns[:, :, row, column]
            return {"dx": around[conv.inner].copy()}
        around, columns = conv_reference.padded(conv, inputs["x"]), np.empty(by_tap)
        for row, column in np.ndindex(conv.window):
            columns[:, :, row, column] = conv_reference.tap(conv, around, (row, column))
        return {"columns": columns.reshape(self.columns_shape)}

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single entries of the columns, or single sums of the gradient."""
        places = np.unravel_index(positions, self.outputs(direction)[output])
        return (
            self._dx_at(inputs["dcolumns"], *places)
            if direction == "backward"
            else self._at(inputs["x"], *places)
        )

    def _at(self, x: Array, n: Index, row: Index, position: Index) -> Array:
        conv = self.geometry
        c, *tap = np.unravel_index(row, (self.c, *conv.window))
        place = np.unravel_index(position, conv.places)
        i, j = (
            at * stride + one * conv.dilation - pad
            for at, one, stride, pad in zip(place, tap, conv.strides, conv.pads, strict=True)
        )
        inside = (i >= 0) & (i < self.h) & (j >= 0) & (j < self.w)
        return np.where(inside, x[n, c, i % self.h, j % self.w], 0)

    def _dx_at(self, dcolumns: Array, n: Index, c: Index, *pixel: Index) -> Array:
        conv = self.geometry
        columns = dcolumns.reshape(self.n, self.c, *conv.window, *conv.places)
        total = np.zeros(n.shape)
        for tap in np.ndindex(conv.window):
            steps = [
                np.divmod(at + pad - one * conv.dilation, stride)
                for at, pad, one, stride in zip(pixel, conv.pads, tap, conv.strides, strict=True)
            ]
            there = np.ones(n.shape, bool)
            for (place, between), count in zip(steps, conv.places, strict=True):
                there &= (between == 0) & (place >= 0) & (place < count)
            p, q = (place % count for (place, _), count in zip(steps, conv.places, strict=True))
            total += np.where(there, columns[n, c, *tap, p, q], 0)
        return total

    def projection(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return a random ±1 combination of the channels, and the same of one combined channel.

        Each channel is moved alike: the combination takes a c-th of the work.
        """
        narrow, v = self.model_copy(update={"c": 1}), signs(self.c, rng)
        (found,), (given,) = outputs.values(), inputs.values()
        (name,) = self.inputs(direction)
        (expected,) = narrow.reference(direction, {name: self._combined(given, v)}).values()
        return self._combined(found, v), expected

    def _combined(self, tensor: Array, v: Array) -> Array:
        """Return x or columns with the channels combined into one by v."""
        by_channel = tensor.reshape(self.n, self.c, -1)
        combined: Array = np.einsum("nca,c->na", by_channel, v)
        return combined.reshape(self.n, -1, *tensor.shape[2:])
