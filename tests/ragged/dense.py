"""Small ragged problems of dense."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Op

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "matmul": (
        Matmul(m=7, n=5, k=33),
        Matmul(m=1, n=65, k=17, trans_a=True),
        Matmul(m=13, n=6, k=9, trans_b=True),
        Matmul(m=5, n=6, k=7, batch=3, trans_a=True, trans_b=True),
    ),
}
