"""Transposed convolutions: the data gradients of convolutions, used forward (V. Dumoulin & F. Visin, A guide to
convolution arithmetic for deep learning, 2016, chapter 4)."""

from __future__ import annotations

from typing import Any, ClassVar

from dlbench.ops.conv_base import Convolution
from dlbench.ops.conv_geometry import Geometry
from dlbench.ops.extent import Extent, Padding
from dlbench.ops.op import Direction, Shape
from dlbench.units import format_shape


class TransposedConvolution(Convolution):
    """Each input element adds the filter, times its value, to the output: an output that is `stride` times as large.

    Input n × c × extents, filter c × k/groups × window; the output, n × k, is the input of the plain convolution that
    this is the gradient of, and along each axis (extent - 1)·stride - 2·pad + dilation·(window - 1) + output_pad + 1
    long. FLOPs are those of the plain one, 2·n·c·(k/groups) for each input place and tap, in each direction.
    """

    n: Extent = 1
    c: Extent
    k: Extent
    stride: Extent = 1
    pad: Padding = 0
    output_pad: Padding = 0
    dilation: Extent = 1
    groups: Extent = 1

    def _transposed(self, extents: Shape, window: Shape) -> Geometry:
        """Return the plain convolution whose places are the extents."""
        axes = len(extents)
        room = self.output_pad + 1 - 2 * self.pad
        out = tuple(
            (extent - 1) * self.stride + self.dilation * (size - 1) + room
            for extent, size in zip(extents, window, strict=True)
        )
        return Geometry(
            self.n,
            self.k,
            self.c,
            out,
            window,
            extents,
            (self.stride,) * axes,
            (self.pad,) * axes,
            self.dilation,
            self.groups,
        )

    def _misfit(self) -> str:
        if self.output_pad >= max(self.stride, self.dilation):  # as torch has it
            return (
                f"an output padding of {self.output_pad} needs a larger stride or dilation than "
                f"{self.stride} and {self.dilation}"
            )
        extents = self.geometry.extents
        if min(extents) < 1:
            return f"a padding of {self.pad} leaves an output of {format_shape(extents)}"
        return ""

    @property
    def x_shape(self) -> Shape:
        """The input's shape, which is that of the plain convolution's output."""
        return self.geometry.y_shape

    @property
    def y_shape(self) -> Shape:
        """The output's shape, which is that of the plain convolution's input."""
        return self.geometry.x_shape

    def plain(self, direction: Direction) -> Direction:
        """Return the plain convolution's data gradient for the output, and its output for the data gradient."""
        exchanged: dict[Direction, Direction] = {"forward": "backward_data", "backward_data": "forward"}
        return exchanged.get(direction, direction)

    def operands(self, direction: Direction, one: Any, other: Any) -> tuple[Any, Any]:
        """Return dy and x for the filter's gradient: to the plain convolution, dy is the input."""
        return (other, one) if direction == "backward_weight" else (one, other)

    def label(self) -> str:
        """Return "1×64×28×28 → 32, 4×4" and what differs from stride 1 without padding."""
        conv = self.geometry
        parts = [f"{format_shape(self.x_shape)} → {self.k}, {format_shape(conv.window)}", *conv.differences()]
        if self.output_pad:
            parts.append(f"output pad {self.output_pad}")
        return " ".join(parts)


class ConvTranspose1d(TransposedConvolution):
    """The transposed convolution of n × c × w with filters of s taps."""

    name: ClassVar[str] = "conv_transpose1d"
    summary: ClassVar[str] = "1-D transposed convolution"

    w: Extent
    s: Extent

    @property
    def geometry(self) -> Geometry:
        """The plain convolution's shapes."""
        return self._transposed((self.w,), (self.s,))


class ConvTranspose2d(TransposedConvolution):
    """The transposed convolution of n × c × h × w with filters of r × s taps."""

    name: ClassVar[str] = "conv_transpose2d"
    summary: ClassVar[str] = "2-D transposed convolution"

    h: Extent
    w: Extent
    r: Extent
    s: Extent

    @property
    def geometry(self) -> Geometry:
        """The plain convolution's shapes."""
        return self._transposed((self.h, self.w), (self.r, self.s))


class ConvTranspose3d(TransposedConvolution):
    """The transposed convolution of n × c × d × h × w with filters of t × r × s taps."""

    name: ClassVar[str] = "conv_transpose3d"
    summary: ClassVar[str] = "3-D transposed convolution"

    d: Extent
    h: Extent
    w: Extent
    t: Extent
    r: Extent
    s: Extent

    @property
    def geometry(self) -> Geometry:
        """The plain convolution's shapes."""
        return self._transposed((self.d, self.h, self.w), (self.t, self.r, self.s))
