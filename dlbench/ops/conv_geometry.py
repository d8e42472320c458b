"""The shapes of a convolution over any number of axes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Self

from pydantic import ValidationInfo

from dlbench.ops.op import Shape
from dlbench.units import format_shape

Index = tuple[Any, ...]
"""What an array of any number of axes is indexed by."""


@dataclass(frozen=True, slots=True)
class Geometry:
    """What a convolution is but for the dtype: an axis of the space for each entry of its tuples.

    Input n × c × extents, filter k × c/groups × window, output n × k × places. `places` may be fewer than the window
    has room for: the last ones are then not computed.
    """

    n: int
    c: int
    k: int
    extents: Shape
    window: Shape
    places: Shape
    strides: Shape
    pads: Shape
    dilation: int = 1
    groups: int = 1

    @classmethod
    def fitted(
        cls,
        n: int,
        c: int,
        k: int,
        extents: Shape,
        window: Shape,
        *,
        strides: Shape,
        pads: Shape,
        dilation: int = 1,
        groups: int = 1,
    ) -> Self:
        """Return the convolution with as many places as the window fits into the padded input, a stride apart."""
        places = tuple(
            (extent + 2 * pad - dilation * (size - 1) - 1) // step + 1
            for extent, size, step, pad in zip(extents, window, strides, pads, strict=True)
        )
        return cls(n, c, k, extents, window, places, strides, pads, dilation, groups)

    @property
    def x_shape(self) -> Shape:
        """The input's shape."""
        return self.n, self.c, *self.extents

    @property
    def w_shape(self) -> Shape:
        """The filter's shape."""
        return self.k, self.c // self.groups, *self.window

    @property
    def y_shape(self) -> Shape:
        """The output's shape."""
        return self.n, self.k, *self.places

    @property
    def padded(self) -> Shape:
        """The input's extents with the zeros on both sides."""
        return tuple(extent + 2 * pad for extent, pad in zip(self.extents, self.pads, strict=True))

    @property
    def reach(self) -> Shape:
        """How many inputs the window spans along each axis, with those that its dilation leaves out."""
        return tuple(self.dilation * (size - 1) + 1 for size in self.window)

    @property
    def taps(self) -> int:
        """The window's size."""
        return math.prod(self.window)

    @property
    def positions(self) -> int:
        """How many outputs a channel has in one image."""
        return math.prod(self.places)

    @property
    def flops(self) -> int:
        """2·n·k·places·(c/groups)·window, padded taps counted."""
        return 2 * self.n * self.k * self.positions * (self.c // self.groups) * self.taps

    @property
    def inner(self) -> Index:
        """The index of the input within padded images, … × padded."""
        return ..., *(slice(pad, pad + extent) for pad, extent in zip(self.pads, self.extents, strict=True))

    def met(self, tap: Shape) -> Index:
        """Return the index, in padded images, of what one tap of the window meets, place by place."""
        return ..., *(
            slice(at * self.dilation, at * self.dilation + step * count, step)
            for at, step, count in zip(tap, self.strides, self.places, strict=True)
        )

    @property
    def tapped(self) -> Index:
        """The index, in padded images, of what the window at the first place meets, tap by tap."""
        return ..., *(slice(0, reach, self.dilation) for reach in self.reach)

    @property
    def placed(self) -> Index:
        """The index, in padded images, of the places: of what the first tap meets."""
        return self.met((0,) * len(self.window))

    def misfit(self) -> str:
        """Return that the window is larger than the padded input; empty where it is not."""
        if all(reach <= room for reach, room in zip(self.reach, self.padded, strict=True)):
            return ""
        return (
            f"the {format_shape(self.window)} kernel (dilation {self.dilation}) is larger than "
            f"the padded {format_shape(self.padded)} input"
        )

    def label(self) -> str:
        """Return "1×64×56×56 → 256, 1×1" and what differs from stride 1 without padding."""
        parts = [f"{format_shape(self.x_shape)} → {self.k}, {format_shape(self.window)}"]
        return " ".join(parts + self.differences())

    def differences(self) -> list[str]:
        """Return what differs from stride 1 without padding, dilation and groups, such as "/2"."""
        parts = []
        if any(step != 1 for step in self.strides):
            parts.append(f"/{_once(self.strides)}")
        if any(self.pads):
            parts.append(f"pad {_once(self.pads)}")
        if self.dilation != 1:
            parts.append(f"dilation {self.dilation}")
        if self.groups != 1:
            parts.append(f"groups {self.groups}")
        return parts


def _once(values: Shape) -> str:
    """Return the one value of all axes, or each of them."""
    return str(values[0]) if len(set(values)) == 1 else format_shape(values)


def both(first: int, second: int | None) -> tuple[int, int]:
    """Return the values of two axes, of which the second is as the first unless it is given."""
    return first, first if second is None else second


def none_as_the_other(value: int | None, info: ValidationInfo) -> int | None:
    """Return None for a `stride_w` or `pad_w` that `stride` or `pad` says already, so that equal problems have equal keys."""
    other = str(info.field_name).removesuffix("_w")
    return None if value == info.data.get(other) else value
