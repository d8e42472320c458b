"""Small ragged problems of normalization."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.normalization import (
    BatchNorm,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    LocalResponseNorm,
    RmsNorm,
)
from dlbench.ops.op import Op

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "batch_norm": (
        BatchNorm(n=3, c=5, h=7, w=6),
        BatchNorm(n=2, c=17, h=3, w=5, training=False),
        BatchNorm(n=33, c=3, h=1, w=1),
    ),
    "group_norm": (GroupNorm(n=2, c=6, h=5, w=7, groups=3), GroupNorm(n=3, c=33, h=1, w=1, groups=1)),
    "instance_norm": (InstanceNorm(n=2, c=5, h=7, w=9), InstanceNorm(c=17, h=5, w=6)),
    "layer_norm": (LayerNorm(rows=7, cols=129), LayerNorm(rows=33, cols=24)),
    "rms_norm": (RmsNorm(rows=7, cols=129), RmsNorm(rows=33, cols=24)),
    "local_response_norm": (
        LocalResponseNorm(n=2, c=9, h=5, w=3),
        LocalResponseNorm(n=3, c=3, h=5, w=1, size=4, alpha=0.5, beta=1.25, k=1.0),
    ),
}
