"""Small ragged problems of attention."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.attention import Attention
from dlbench.ops.op import Op

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "attention": (
        Attention(seq_q=5, seq_k=9, dim=3),
        Attention(batch=2, heads=3, seq_q=7, seq_k=7, dim=8, causal=True),
        Attention(heads=2, seq_q=1, seq_k=33, dim=16),
        Attention(batch=2, heads=6, kv_heads=2, seq_q=5, seq_k=5, dim=4, causal=True),
        Attention(heads=3, kv_heads=1, seq_q=4, seq_k=6, dim=5),
    ),
}
