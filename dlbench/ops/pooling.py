"""Pooling: the largest or the mean of each window of an image, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar, Self

from pydantic import field_validator, model_validator

from dlbench.errors import ProblemError
from dlbench.ops.conv_geometry import both, none_as_the_other
from dlbench.ops.extent import Extent, Padding
from dlbench.ops.op import Shape
from dlbench.ops.pool import AvgPool, MaxPool, Pool
from dlbench.ops.windows import Span, Windows, shared_out, stepped
from dlbench.units import format_shape


class SteppedPool(Pool):
    """Windows of r × s elements, a stride apart."""

    r: Extent
    s: Extent
    stride: Extent = 1
    stride_w: Extent | None = None
    pad: Padding = 0
    pad_w: Padding | None = None
    ceil: bool = False

    _none_as_the_other = field_validator("stride_w", "pad_w")(none_as_the_other)

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.pads[0] > self.r // 2 or self.pads[1] > self.s // 2:
            raise ProblemError(
                f"{self.name} {self.label()}: the padding is {format_shape(self.pads)}; at most half of the "
                f"{self.r}×{self.s} window may lie in it, or a window could be all padding"
            )
        if min(self.y_shape) < 1:
            raise ProblemError(
                f"{self.name} {self.label()}: the {self.r}×{self.s} window is larger than the padded "
                f"{self.h + 2 * self.pads[0]}×{self.w + 2 * self.pads[1]} input"
            )
        return self

    @property
    def strides(self) -> tuple[int, int]:
        """Steps between windows, down and across."""
        return both(self.stride, self.stride_w)

    @property
    def pads(self) -> tuple[int, int]:
        """The padding on each side, above and beside."""
        return both(self.pad, self.pad_w)

    @property
    def p(self) -> int:
        """The output's height."""
        return self._count(self.h, self.r, self.strides[0], self.pads[0])

    @property
    def q(self) -> int:
        """The output's width."""
        return self._count(self.w, self.s, self.strides[1], self.pads[1])

    def _count(self, extent: int, size: int, stride: int, pad: int) -> int:
        """Return how many windows there are: with `ceil` one more where a part of it still fits.

        It has to begin in the input or in the padding before it (torch's pooling_output_shape): one that would begin
        behind the input is left out.
        """
        room = extent + 2 * pad - size
        if not self.ceil:
            return room // stride + 1
        count = -(room // -stride) + 1
        return count - 1 if (count - 1) * stride >= extent + pad else count

    @property
    def y_shape(self) -> Shape:
        """The output's shape."""
        return self.n, self.c, self.p, self.q

    @property
    def windows(self) -> Windows:
        """What each output is reduced from."""
        (down, across), (pad, pad_w) = self.strides, self.pads
        return Windows(
            stepped(self.h, self.r, down, pad, self.p), stepped(self.w, self.s, across, pad_w, self.q)
        )

    @property
    def taps(self) -> int:
        """How many elements all windows of one channel have, those in the padding counted."""
        return self.p * self.q * self.r * self.s

    @property
    def overlap(self) -> int:
        """How many windows there are at most around one element of the input."""
        return min(-(-self.r // self.strides[0]), self.p) * min(-(-self.s // self.strides[1]), self.q)

    @property
    def room(self) -> tuple[int, int]:
        """How many rows and columns the padded image has, with those behind it that `ceil` lets windows reach."""
        (down, across), (pad, pad_w) = self.strides, self.pads
        return (
            max(self.h + 2 * pad, (self.p - 1) * down + self.r),
            max(self.w + 2 * pad_w, (self.q - 1) * across + self.s),
        )

    @property
    def inside(self) -> tuple[slice, slice]:
        """Which rows and columns of the padded image are the image's."""
        pad, pad_w = self.pads
        return slice(pad, pad + self.h), slice(pad_w, pad_w + self.w)

    def met(self) -> Iterator[tuple[slice, slice]]:
        """Yield which rows and columns of the padded image each element of the windows meets, window by window."""
        (down, across), p, q = self.strides, self.p, self.q
        for top in range(self.r):
            for left in range(self.s):
                yield slice(top, top + down * p, down), slice(left, left + across * q, across)

    def label(self) -> str:
        """Return "1×64×112×112, 3×3 /2 pad 1 ceil": input, window and what differs from stride 1 without padding."""
        parts = [f"{format_shape(self.x_shape)}, {self.r}×{self.s}"]
        parts += _unless(1, "/", self.strides)
        parts += _unless(0, "pad ", self.pads)
        if self.ceil:
            parts.append("ceil")
        return " ".join(parts)


class AdaptivePool(Pool):
    """Windows that share out an image to p × q outputs.

    Output i, j is of the rows from floor(i·h / p) to ceil((i + 1)·h / p), and of the columns likewise: neighbours overlap
    by a row where p does not divide h. p may be more than h.
    """

    p: Extent
    q: Extent

    @property
    def y_shape(self) -> Shape:
        """The output's shape."""
        return self.n, self.c, self.p, self.q

    @property
    def windows(self) -> Windows:
        """What each output is reduced from."""
        return Windows(shared_out(self.h, self.p), shared_out(self.w, self.q))

    @property
    def taps(self) -> int:
        """How many elements all windows of one channel have: each boundary that is not whole adds a row, or a column."""
        rows = self.h + self.p - math.gcd(self.h, self.p)
        return rows * (self.w + self.q - math.gcd(self.w, self.q))

    @property
    def overlap(self) -> int:
        """How many windows there are at most around one element of the input."""
        return _most_around(self.h, self.p) * _most_around(self.w, self.q)

    def label(self) -> str:
        """Return "1×512×7×7 → 1×1"."""
        return f"{format_shape(self.x_shape)} → {self.p}×{self.q}"


class MaxPool2d(MaxPool, SteppedPool):
    """y[n,c,i,j] = the largest x[n, c, i·stride - pad + r, j·stride_w - pad_w + s] of a window of r × s elements.

    Input n × c × h × w, output n × c × p × q. `stride_w` and `pad_w` default to `stride` and `pad`, which default to 1
    and 0. What lies in the padding is never the largest. With `ceil` the output's size is rounded up. Padded taps are
    counted in the FLOPs.
    """

    name: ClassVar[str] = "max_pool2d"
    summary: ClassVar[str] = "2-D max pooling"


class AvgPool2d(AvgPool, SteppedPool):
    """y[n,c,i,j] = the mean of x[n, c, i·stride - pad + r, j·stride_w - pad_w + s] over a window of r × s elements.

    Input n × c × h × w, output n × c × p × q. `stride_w` and `pad_w` default to `stride` and `pad`, which default to 1
    and 0. With `count_pad` the zeros of the padding count among the elements of a window, without it they do not; what
    `ceil` lets a window reach beyond the padding never does (torch's count_include_pad). Padded taps are counted in the
    FLOPs.
    """

    name: ClassVar[str] = "avg_pool2d"
    summary: ClassVar[str] = "2-D average pooling"

    count_pad: bool = True

    @property
    def sizes(self) -> tuple[list[int], list[int]]:
        """What each window's sum is divided by, as its rows and its columns."""
        if not self.count_pad:
            windows = self.windows
            return _lengths(windows.rows), _lengths(windows.columns)
        (down, across), (pad, pad_w) = self.strides, self.pads
        return (
            [min(self.r, self.h + 2 * pad - at * down) for at in range(self.p)],
            [min(self.s, self.w + 2 * pad_w - at * across) for at in range(self.q)],
        )

    @property
    def largest(self) -> int:
        """How many elements the largest window has."""
        return min(self.r, self.h) * min(self.s, self.w)

    def label(self) -> str:
        """Return "1×64×112×112, 3×3 /2 pad 1 uncounted"."""
        return super().label() + ("" if self.count_pad else " uncounted")


class AdaptiveMaxPool2d(MaxPool, AdaptivePool):
    """y = the largest element of each of p × q windows that share out an image.

    Input n × c × h × w, output n × c × p × q; 1 × 1 is global pooling.
    """

    name: ClassVar[str] = "adaptive_max_pool2d"
    summary: ClassVar[str] = "2-D max pooling to a given size"


class AdaptiveAvgPool2d(AvgPool, AdaptivePool):
    """y = the mean of each of p × q windows that share out an image.

    Input n × c × h × w, output n × c × p × q; 1 × 1 is global pooling.
    """

    name: ClassVar[str] = "adaptive_avg_pool2d"
    summary: ClassVar[str] = "2-D average pooling to a given size"

    @property
    def sizes(self) -> tuple[list[int], list[int]]:
        """What each window's sum is divided by, as its rows and its columns."""
        windows = self.windows
        return _lengths(windows.rows), _lengths(windows.columns)

    @property
    def largest(self) -> int:
        """How many elements the largest window has, or one row and one column more."""
        return min(-(-self.h // self.p) + 1, self.h) * min(-(-self.w // self.q) + 1, self.w)


def _lengths(spans: tuple[Span, ...]) -> list[int]:
    return [stop - start for start, stop in spans]


def _most_around(extent: int, count: int) -> int:
    """Return how many of the windows that share out the places there are at most around one: one more where they overlap."""
    return -(-count // extent) + (1 if extent % count and count % extent else 0)


def _unless(usual: int, prefix: str, values: tuple[int, int]) -> list[str]:
    """Return what a label says of two values, nothing where both are as usual."""
    if values == (usual, usual):
        return []
    return [f"{prefix}{values[0]}" if values[0] == values[1] else f"{prefix}{format_shape(values)}"]
