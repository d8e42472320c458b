"""The classic networks for images, layer by layer, as they compute when they are trained: no dropout, no auxiliary heads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from dlbench.ops.layers import CLASSES, Stack

LEAK = 0.1
"""The slope of Darknet's rectifiers below 0 (github.com/pjreddie/darknet, src/activations.h)."""


def _classifier(net: Stack) -> None:
    """Add the three fully connected layers that networks had before 2014."""
    for name in ("fc6", "fc7"):
        net.linear(name, 4096)
        net.relu(f"{name}_relu")
    net.linear("fc8", CLASSES)


def _rectified(net: Stack, name: str, k: int, r: int, stride: int = 1, pad: int = 0, after: str = "") -> None:
    net.conv(name, k, r, stride, pad, after=after)
    net.relu(f"{name}_relu")


def alexnet(net: Stack) -> None:
    """AlexNet in one tower (A. Krizhevsky, One weird trick, arXiv 1404.5997), without its response normalisation."""
    _rectified(net, "conv1", 64, 11, 4, 2)
    net.max_pool("pool1", 3, 2)
    _rectified(net, "conv2", 192, 5, pad=2)
    net.max_pool("pool2", 3, 2)
    for name, k in (("conv3", 384), ("conv4", 256), ("conv5", 256)):
        _rectified(net, name, k, 3, pad=1)
    net.max_pool("pool5", 3, 2)
    _classifier(net)


def zfnet(net: Stack) -> None:
    """ZFNet (M. Zeiler & R. Fergus, arXiv 1311.2901, figure 3)."""
    _rectified(net, "conv1", 96, 7, 2, 1)
    net.max_pool("pool1", 3, 2, ceil=True)
    net.local_response_norm("norm1")
    _rectified(net, "conv2", 256, 5, 2)
    net.max_pool("pool2", 3, 2, ceil=True)
    net.local_response_norm("norm2")
    for name, k in (("conv3", 384), ("conv4", 384), ("conv5", 256)):
        _rectified(net, name, k, 3, pad=1)
    net.max_pool("pool5", 3, 2)
    _classifier(net)


def vgg16(net: Stack) -> None:
    """VGG-16 (K. Simonyan & A. Zisserman, arXiv 1409.1556, configuration D)."""
    for stage, (k, depth) in enumerate(((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), 1):
        for number in range(1, depth + 1):
            _rectified(net, f"conv{stage}_{number}", k, 3, pad=1)
        net.max_pool(f"pool{stage}", 2, 2)
    _classifier(net)


MODULES: Mapping[str, Sequence[int]] = MappingProxyType(
    {
        "3a": (64, 96, 128, 16, 32, 32),
        "3b": (128, 128, 192, 32, 96, 64),
        "4a": (192, 96, 208, 16, 48, 64),
        "4b": (160, 112, 224, 24, 64, 64),
        "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64),
        "4e": (256, 160, 320, 32, 128, 128),
        "5a": (256, 160, 320, 32, 128, 128),
        "5b": (384, 192, 384, 48, 128, 128),
    }
)
"""Of each inception module the channels of 1×1, 3×3 reduce, 3×3, 5×5 reduce, 5×5 and the projection of the pool (C. Szegedy
et al., Going deeper with convolutions, arXiv 1409.4842, table 1)."""


def inception(net: Stack, name: str, channels: Sequence[int]) -> None:
    """Add one inception module: four branches from one input, their channels put together."""
    ones, reduce3, threes, reduce5, fives, projected = channels
    start, prefix = net.last, f"inception_{name}_"
    _rectified(net, prefix + "1x1", ones, 1, after=start)
    _rectified(net, prefix + "3x3_reduce", reduce3, 1, after=start)
    _rectified(net, prefix + "3x3", threes, 3, pad=1)
    _rectified(net, prefix + "5x5_reduce", reduce5, 1, after=start)
    _rectified(net, prefix + "5x5", fives, 5, pad=2)
    net.max_pool(prefix + "pool", 3, 1, 1, after=start)
    _rectified(net, prefix + "pool_proj", projected, 1)
    branches = ("1x1", "3x3", "5x5", "pool_proj")
    net.concat(prefix + "output", *(f"{prefix}{branch}_relu" for branch in branches))


def googlenet(net: Stack) -> None:
    """GoogLeNet, with the pools padded so that sizes are halved (arXiv 1409.4842, table 1)."""
    _rectified(net, "conv1_7x7_s2", 64, 7, 2, 3)
    net.max_pool("pool1_3x3_s2", 3, 2, 1)
    net.local_response_norm("norm1")
    _rectified(net, "conv2_3x3_reduce", 64, 1)
    _rectified(net, "conv2_3x3", 192, 3, pad=1)
    net.local_response_norm("norm2")
    net.max_pool("pool2_3x3_s2", 3, 2, 1)
    for name, channels in MODULES.items():
        inception(net, name, channels)
        if name in ("3b", "4e"):
            net.max_pool(f"pool{name[0]}_3x3_s2", 3, 2, 1)
    net.global_avg_pool("pool5")
    net.linear("fc", CLASSES)


def _normalised(
    net: Stack, name: str, k: int, r: int, stride: int = 1, pad: int = 0, after: str = ""
) -> None:
    net.conv(name, k, r, stride, pad, bias=False, after=after)
    net.batch_norm(f"{name}_bn")


def bottleneck(net: Stack, name: str, width: int, stride: int) -> None:
    """Add one residual bottleneck: 1×1, 3×3 and 1×1, and past them the input, projected where the shape changes.

    The stride is the 3×3's, as in version 1.5.
    """
    start = shortcut = net.last
    _normalised(net, f"{name}_branch2a", width, 1)
    net.relu(f"{name}_branch2a_relu")
    _normalised(net, f"{name}_branch2b", width, 3, stride, 1)
    net.relu(f"{name}_branch2b_relu")
    _normalised(net, f"{name}_branch2c", 4 * width, 1)
    if net.shape_of(start) != net.shape_of(net.last):
        _normalised(net, f"{name}_branch1", 4 * width, 1, stride, after=start)
        shortcut = net.last
    net.sum(name, f"{name}_branch2c_bn", shortcut)
    net.relu(f"{name}_relu")


def resnet50(net: Stack) -> None:
    """ResNet-50 (K. He et al., arXiv 1512.03385, table 1), version 1.5."""
    _normalised(net, "conv1", 64, 7, 2, 3)
    net.relu("conv1_relu")
    net.max_pool("pool1", 3, 2, 1)
    for stage, (width, depth) in enumerate(((64, 3), (128, 4), (256, 6), (512, 3)), 2):
        for letter in "abcdef"[:depth]:
            bottleneck(net, f"res{stage}{letter}", width, 2 if stage > 2 and letter == "a" else 1)
    net.global_avg_pool("pool5")
    net.linear("fc", CLASSES)


def darknet53(net: Stack) -> None:
    """Darknet-53 (J. Redmon & A. Farhadi, YOLOv3, arXiv 1804.02767, table 1)."""

    def leaky(name: str, k: int, r: int, stride: int = 1) -> None:
        _normalised(net, name, k, r, stride, r // 2)
        net.leaky_relu(f"{name}_leaky", LEAK)

    leaky("conv1", 32, 3)
    for stage, (k, depth) in enumerate(((64, 1), (128, 2), (256, 8), (512, 8), (1024, 4)), 1):
        leaky(f"down{stage}", k, 3, 2)
        for number in range(1, depth + 1):
            start = net.last
            leaky(f"res{stage}_{number}_1x1", k // 2, 1)
            leaky(f"res{stage}_{number}_3x3", k, 3)
            net.sum(f"res{stage}_{number}", net.last, start)
    net.global_avg_pool("pool")
    net.linear("fc", CLASSES)


STRIDED = (2, 4, 6, 12)
"""Which of MobileNet's depthwise layers halve the image."""


def mobilenet_v1(net: Stack) -> None:
    """MobileNet of width 1 (A. Howard et al., arXiv 1704.04861, table 1)."""
    _normalised(net, "conv1", 32, 3, 2, 1)
    net.relu("conv1_relu")
    widths = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)
    for number, k in enumerate(widths, 1):
        net.depthwise(f"dw{number}", 2 if number in STRIDED else 1)
        net.batch_norm(f"dw{number}_bn")
        net.relu(f"dw{number}_relu")
        _normalised(net, f"pw{number}", k, 1)
        net.relu(f"pw{number}_relu")
    net.global_avg_pool("pool")
    net.linear("fc", CLASSES)


ARCHITECTURES: Mapping[str, Callable[[Stack], None]] = MappingProxyType(
    {
        "alexnet": alexnet,
        "zfnet": zfnet,
        "vgg16": vgg16,
        "googlenet": googlenet,
        "resnet50": resnet50,
        "darknet53": darknet53,
        "mobilenet_v1": mobilenet_v1,
    }
)
SIZES: Mapping[str, int] = MappingProxyType({"darknet53": 256})
"""The images' height and width where they are not 224."""
