"""Small ragged problems of activation."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.elementwise import Relu
from dlbench.ops.op import Op
from dlbench.ops.softmax import LogSoftmax, Softmax

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "softmax": (Softmax(rows=7, cols=129), Softmax(rows=5, cols=1)),
    "log_softmax": (LogSoftmax(rows=7, cols=129), LogSoftmax(rows=5, cols=1)),
    "relu": (Relu(n=1025),),
}
