"""Which ops there are: the built-in ones and those that other packages bring by entry point."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import entry_points
from types import MappingProxyType

from dlbench.ops.attention import Attention
from dlbench.ops.conv import Conv2d
from dlbench.ops.elementwise import Relu
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Op
from dlbench.ops.reduction import Sum
from dlbench.ops.softmax import LogSoftmax, Softmax
from dlbench.ops.stream import Add, Copy, Scale, Triad
from dlbench.ops.transfer import ToDevice, ToHost
from dlbench.ops.transpose import Transpose

ENTRY_POINTS = "dlbench.ops"
BUILT_IN: tuple[type[Op], ...] = (
    Conv2d,
    Matmul,
    Attention,
    Softmax,
    LogSoftmax,
    Sum,
    Relu,
    Transpose,
    Copy,
    Scale,
    Add,
    Triad,
    ToDevice,
    ToHost,
)


def ops() -> Mapping[str, type[Op]]:
    """Return every op by its name."""
    found = {op.name: op for op in BUILT_IN}
    for entry in entry_points(group=ENTRY_POINTS):
        op: type[Op] = entry.load()
        found.setdefault(op.name, op)
    return MappingProxyType(found)
