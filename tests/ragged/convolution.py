"""Small ragged problems of convolution."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.conv import Conv2d
from dlbench.ops.conv_nd import Conv1d, Conv3d
from dlbench.ops.conv_transpose import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from dlbench.ops.im2col import Im2col
from dlbench.ops.op import Op

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "conv2d": (
        Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2, groups=2),
        Conv2d(n=3, c=5, h=6, w=7, k=4, r=1, s=1),
        Conv2d(c=5, h=6, w=7, k=4, r=1, s=1, stride=2),
        Conv2d(c=6, h=8, w=8, k=6, r=3, s=3, pad=1, groups=6),
        Conv2d(n=16, c=3, h=17, w=15, k=5, r=3, s=3, pad=1),
        Conv2d(n=2, c=3, h=7, w=6, k=6, r=3, s=3, pad=2, pad_w=0, groups=3),
    ),
    "conv1d": (
        Conv1d(n=2, c=4, w=13, k=6, s=3, stride=2, pad=2, dilation=3, groups=2),
        Conv1d(n=3, c=5, w=8, k=4, s=1),
    ),
    "conv3d": (
        Conv3d(n=2, c=4, d=5, h=7, w=6, k=6, t=2, r=3, s=2, stride=3, pad=1, dilation=2, groups=2),
        Conv3d(c=2, d=3, h=4, w=5, k=4, t=3, r=2, s=2, pad=1, groups=2),
    ),
    "conv_transpose1d": (
        ConvTranspose1d(n=2, c=4, w=5, k=6, s=3, stride=3, pad=2, output_pad=1, dilation=2, groups=2),
    ),
    "conv_transpose2d": (
        ConvTranspose2d(n=2, c=4, h=3, w=5, k=6, r=3, s=2, stride=2, pad=1, output_pad=1, groups=2),
        ConvTranspose2d(c=3, h=4, w=3, k=6, r=2, s=4, pad=1, output_pad=2, dilation=3, groups=3),
    ),
    "conv_transpose3d": (
        ConvTranspose3d(n=2, c=4, d=2, h=3, w=4, k=2, t=2, r=3, s=1, stride=2, output_pad=1, groups=2),
    ),
    "im2col": (
        Im2col(n=2, c=3, h=9, w=7, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2),
        Im2col(n=2, c=3, h=6, w=5, r=3, s=3, pad=1),
    ),
}


def by_winograd(op: Op) -> bool:
    """Return whether F(2×2, 3×3) computes the convolution, which all other variants take as it is."""
    return isinstance(op, Conv2d) and (op.r, op.s, op.strides, op.dilation) == (3, 3, (1, 1), 1)
