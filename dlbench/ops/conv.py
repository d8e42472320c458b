"""Two-dimensional convolution."""

from __future__ import annotations

from typing import ClassVar

from pydantic import field_validator

from dlbench.ops.conv_base import Convolution
from dlbench.ops.conv_geometry import Geometry, both, none_as_the_other
from dlbench.ops.extent import Extent, Padding


class Conv2d(Convolution):
    """y[n,k,p,q] = sum over c, r, s of x[n, c, p·stride + r·dilation - pad, …] · w[k,c,r,s], by group.

    Input n × c × h × w, filter k × c/groups × r × s, output n × k × p × q. `stride_w` and `pad_w` default to
    `stride` and `pad`. FLOPs count padded taps: 2·n·k·p·q·(c/groups)·r·s in each direction.
    """

    name: ClassVar[str] = "conv2d"
    summary: ClassVar[str] = "2-D convolution"
    layouts: ClassVar[tuple[str, ...]] = ("NCHW", "NHWC")

    n: Extent = 1
    c: Extent
    h: Extent
    w: Extent
    k: Extent
    r: Extent
    s: Extent
    stride: Extent = 1
    stride_w: Extent | None = None
    pad: Padding = 0
    pad_w: Padding | None = None
    dilation: Extent = 1
    groups: Extent = 1

    _shared = field_validator("stride_w", "pad_w")(none_as_the_other)

    @property
    def strides(self) -> tuple[int, int]:
        """Steps between outputs, down and across."""
        return both(self.stride, self.stride_w)

    @property
    def pads(self) -> tuple[int, int]:
        """Zeros on each side, above and beside."""
        return both(self.pad, self.pad_w)

    @property
    def geometry(self) -> Geometry:
        """The shapes of input, filter and output."""
        extents, window = (self.h, self.w), (self.r, self.s)
        return Geometry.fitted(
            self.n,
            self.c,
            self.k,
            extents,
            window,
            strides=self.strides,
            pads=self.pads,
            dilation=self.dilation,
            groups=self.groups,
        )

    @property
    def p(self) -> int:
        """The output's height."""
        return self.geometry.places[0]

    @property
    def q(self) -> int:
        """The output's width."""
        return self.geometry.places[1]
