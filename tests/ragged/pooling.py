"""Small ragged problems of pooling."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.op import Op
from dlbench.ops.pooling import AdaptiveAvgPool2d, AdaptiveMaxPool2d, AvgPool2d, MaxPool2d

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "max_pool2d": (
        MaxPool2d(n=2, c=3, h=9, w=7, r=3, s=2, stride=2, stride_w=3, pad=1, pad_w=0, ceil=True),
        MaxPool2d(c=5, h=8, w=6, r=2, s=3, stride=2, stride_w=1),
        MaxPool2d(n=3, c=17, h=5, w=6, r=3, s=3, pad=1),
    ),
    "avg_pool2d": (
        AvgPool2d(n=2, c=3, h=9, w=7, r=3, s=2, stride=2, stride_w=3, pad=1, pad_w=0),
        AvgPool2d(c=5, h=8, w=6, r=2, s=3, stride=3, count_pad=False, pad=1, ceil=True),
        AvgPool2d(n=3, c=17, h=5, w=6, r=3, s=3, pad=1),
    ),
    "adaptive_max_pool2d": (
        AdaptiveMaxPool2d(n=2, c=3, h=9, w=7, p=4, q=1),
        AdaptiveMaxPool2d(c=17, h=3, w=5, p=5, q=2),
    ),
    "adaptive_avg_pool2d": (
        AdaptiveAvgPool2d(n=2, c=3, h=9, w=7, p=4, q=2),
        AdaptiveAvgPool2d(c=17, h=3, w=5, p=5, q=2),
        AdaptiveAvgPool2d(n=2, c=5, h=7, w=6, p=1, q=1),
    ),
}
