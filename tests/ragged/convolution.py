"""Small ragged problems of convolution."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.conv import Conv2d
from dlbench.ops.op import Op

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "conv2d": (
        Conv2d(n=2, c=4, h=9, w=7, k=6, r=3, s=2, stride=2, stride_w=1, pad=1, pad_w=0, dilation=2, groups=2),
        Conv2d(n=3, c=5, h=6, w=7, k=4, r=1, s=1),
        Conv2d(c=5, h=6, w=7, k=4, r=1, s=1, stride=2),
        Conv2d(c=6, h=8, w=8, k=6, r=3, s=3, pad=1, groups=6),
        Conv2d(n=16, c=3, h=17, w=15, k=5, r=3, s=3, pad=1),
    ),
}
