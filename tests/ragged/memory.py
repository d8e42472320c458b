"""Small ragged problems of memory."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.op import Op
from dlbench.ops.reduction import Argmax, Max, Mean, Norm2, Sum
from dlbench.ops.stream import Add, Copy, Scale, Triad
from dlbench.ops.transfer import ToDevice, ToHost
from dlbench.ops.transpose import Transpose

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "sum": (Sum(rows=7, cols=129), Sum(rows=1, cols=1000), Sum(rows=5, cols=1)),
    "mean": (Mean(rows=7, cols=129), Mean(rows=5, cols=1)),
    "norm2": (Norm2(rows=7, cols=129), Norm2(rows=5, cols=1)),
    "max": (Max(rows=7, cols=129), Max(rows=5, cols=1)),
    "argmax": (Argmax(rows=7, cols=129), Argmax(rows=5, cols=1)),
    "transpose": (Transpose(rows=33, cols=65), Transpose(rows=1, cols=9)),
    "copy": (Copy(n=1025),),
    "scale": (Scale(n=1025),),
    "add": (Add(n=1025),),
    "triad": (Triad(n=1025),),
    "to_device": (ToDevice(n=1025), ToDevice(n=1025, pinned=True)),
    "to_host": (ToHost(n=1025), ToHost(n=1025, pinned=True)),
}
