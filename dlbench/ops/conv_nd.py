"""Convolutions over one and three axes."""

from __future__ import annotations

from typing import ClassVar

from dlbench.ops.conv import Conv2d
from dlbench.ops.conv_base import Convolution
from dlbench.ops.conv_geometry import Geometry
from dlbench.ops.extent import Extent, Padding


class Conv1d(Convolution):
    """y[n,k,q] = sum over c, s of x[n, c, q·stride + s·dilation - pad] · w[k,c,s], by group.

    Input n × c × w, filter k × c/groups × s, output n × k × q. FLOPs count padded taps: 2·n·k·q·(c/groups)·s in each
    direction.
    """

    name: ClassVar[str] = "conv1d"
    summary: ClassVar[str] = "1-D convolution"

    n: Extent = 1
    c: Extent
    w: Extent
    k: Extent
    s: Extent
    stride: Extent = 1
    pad: Padding = 0
    dilation: Extent = 1
    groups: Extent = 1

    @property
    def geometry(self) -> Geometry:
        """The shapes of input, filter and output."""
        return Geometry.fitted(
            self.n,
            self.c,
            self.k,
            (self.w,),
            (self.s,),
            strides=(self.stride,),
            pads=(self.pad,),
            dilation=self.dilation,
            groups=self.groups,
        )

    def as_conv2d(self) -> Conv2d:
        """Return the same as a two-dimensional convolution, of images of one row."""
        return Conv2d(
            n=self.n,
            c=self.c,
            h=1,
            w=self.w,
            k=self.k,
            r=1,
            s=self.s,
            stride_w=self.stride,
            pad_w=self.pad,
            dilation=self.dilation,
            groups=self.groups,
        )


class Conv3d(Convolution):
    """y[n,k,o,p,q] = sum over c, t, r, s of x[n, c, o·stride + t·dilation - pad, …] · w[k,c,t,r,s], by group.

    Input n × c × d × h × w, filter k × c/groups × t × r × s, output n × k × o × p × q; stride, padding and dilation
    are those of each axis. FLOPs count padded taps: 2·n·k·o·p·q·(c/groups)·t·r·s in each direction.
    """

    name: ClassVar[str] = "conv3d"
    summary: ClassVar[str] = "3-D convolution"

    n: Extent = 1
    c: Extent
    d: Extent
    h: Extent
    w: Extent
    k: Extent
    t: Extent
    r: Extent
    s: Extent
    stride: Extent = 1
    pad: Padding = 0
    dilation: Extent = 1
    groups: Extent = 1

    @property
    def geometry(self) -> Geometry:
        """The shapes of input, filter and output."""
        return Geometry.fitted(
            self.n,
            self.c,
            self.k,
            (self.d, self.h, self.w),
            (self.t, self.r, self.s),
            strides=(self.stride,) * 3,
            pads=(self.pad,) * 3,
            dilation=self.dilation,
            groups=self.groups,
        )
