"""Small ragged problems of dense."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.linear import Linear
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Op
from dlbench.ops.quantized import Fp8Matmul, Int8Matmul
from dlbench.ops.sparse import Sparse24, SpMM

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "matmul": (
        Matmul(m=7, n=5, k=33),
        Matmul(m=1, n=65, k=17, trans_a=True),
        Matmul(m=13, n=6, k=9, trans_b=True),
        Matmul(m=5, n=6, k=7, batch=3, trans_a=True, trans_b=True),
        Matmul(m=9, n=5, k=11, alpha=-0.75),
        Matmul(m=5, n=7, k=6, trans_b=True, beta=1.5),
        Matmul(m=3, n=4, k=5, batch=2, alpha=0.5, beta=-2.0),
    ),
    "linear": (
        Linear(n=7, in_features=33, out_features=5),
        Linear(n=1, in_features=9, out_features=17, bias=False),
        Linear(n=13, in_features=1, out_features=6),
    ),
    "spmm": (
        SpMM(m=7, n=5, k=33, sparsity=0.6),
        SpMM(m=9, n=1, k=4, sparsity=0.85),
        SpMM(m=3, n=6, k=5, sparsity=0.0),
    ),
    "sparse24": (Sparse24(m=7, n=5, k=36), Sparse24(m=1, n=9, k=4)),
    "int8_matmul": (Int8Matmul(m=7, n=5, k=33), Int8Matmul(m=17, n=8, k=64)),
    "fp8_matmul": (Fp8Matmul(m=7, n=5, k=33), Fp8Matmul(m=16, n=48, k=32)),
}
