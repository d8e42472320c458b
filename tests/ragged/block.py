"""Small ragged problems of block."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.op import Op
from dlbench.ops.tagger import LstmTagger
from dlbench.ops.transformer import BertBlock, LlamaBlock

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "bert_block": (
        BertBlock(batch=2, seq=5, hidden=12, heads=3, ffn=7),
        BertBlock(seq=1, hidden=4, heads=1, ffn=9),
    ),
    "llama_block": (
        LlamaBlock(batch=2, seq=5, hidden=24, heads=6, kv_heads=2, ffn=7),
        LlamaBlock(seq=3, hidden=8, heads=2, ffn=5),
    ),
    "lstm_tagger": (
        LstmTagger(steps=5, batch=3, vocabulary=11, dim=4, hidden_size=3, tags=6),
        LstmTagger(steps=1, vocabulary=2, dim=3, hidden_size=2, tags=1),
    ),
}
