"""Small ragged problems of indexing and sorting."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.indexing import Concat, Embedding, Gather, ScatterAdd
from dlbench.ops.op import Op
from dlbench.ops.sorting import Argsort, Nms, Topk

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "embedding": (
        Embedding(n=13, vocab=7, dim=5),
        Embedding(n=9, vocab=33, dim=3),
        Embedding(n=7, vocab=1, dim=3),
    ),
    "gather": (Gather(rows=7, cols=5, n=13), Gather(rows=33, cols=3, n=2), Gather(rows=1, cols=3, n=4)),
    "scatter_add": (ScatterAdd(rows=7, cols=5, n=13), ScatterAdd(rows=33, cols=3, n=2)),
    "concat": (Concat(parts=3, rows=7, cols=5), Concat(parts=1, rows=3, cols=9)),
    "topk": (Topk(rows=5, cols=33, k=4), Topk(rows=3, cols=7, k=7), Topk(rows=4, cols=9, k=1)),
    "argsort": (Argsort(rows=5, cols=33), Argsort(rows=3, cols=1)),
    "nms": (Nms(n=65), Nms(n=41, threshold=0.3), Nms(n=1, threshold=0.0)),
}
