"""Small ragged problems of network."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.network import InceptionBlock, Network, ResidualBottleneck
from dlbench.ops.op import Op

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "network": (
        Network(model="alexnet", n=2, size=67, divisor=16),
        Network(model="zfnet", size=69, divisor=32),
        Network(model="vgg16", size=33, divisor=32),
        Network(model="googlenet", n=2, size=33, divisor=16),
        Network(model="resnet50", n=2, size=35, divisor=32),
        Network(model="darknet53", size=33, divisor=32),
        Network(model="mobilenet_v1", n=3, size=35, divisor=32),
    ),
    "residual_bottleneck": (
        ResidualBottleneck(n=2, c=12, h=5, w=7, width=3),
        ResidualBottleneck(c=5, h=8, w=6, width=2, stride=2),
    ),
    "inception_block": (
        InceptionBlock(n=2, c=5, h=6, w=7, ones=3, reduce3=2, threes=4, reduce5=1, fives=2, projected=3),
    ),
}
