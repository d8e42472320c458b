"""A transformer's block through torch: its fused attention and the functions around it."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from dlbench.backends.backend import implements
from dlbench.ops.normal import EPS
from dlbench.ops.problem import Problem
from dlbench.ops.transformer import BertBlock, LlamaBlock
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
"""Not tf32: the fused attention chooses by itself how it multiplies float32 numbers."""


@implements("bert_block", variant="library", dtypes=DTYPES)
@implements("bert_block", variant="native", dtypes=DTYPES)
def bert(problem: Problem, *tensors: torch.Tensor) -> Call:
    """One product for q, k and v, scaled_dot_product_attention, layer_norm and gelu."""
    op = problem.op
    if not isinstance(op, BertBlock):
        raise TypeError(f"not BERT's block: {op!r}")
    return partial(_bert, op.heads, *tensors)


def _bert(heads: int, x: torch.Tensor, *weights: torch.Tensor) -> torch.Tensor:
    w_qkv, b_qkv, w_o, b_o, weight1, bias1, w1, b1, w2, b2, weight2, bias2 = weights
    hidden = (x.shape[-1],)
    q, k, v = (_split(part, heads) for part in F.linear(x, w_qkv, b_qkv).chunk(3, -1))
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(x.shape)
    z = F.layer_norm(x + F.linear(mixed, w_o, b_o), hidden, weight1, bias1, EPS)
    inner = F.linear(F.gelu(F.linear(z, w1, b1)), w2, b2)
    return F.layer_norm(z + inner, hidden, weight2, bias2, EPS)


@implements("llama_block", variant="library", dtypes=DTYPES)
@implements("llama_block", variant="native", dtypes=DTYPES)
def llama(problem: Problem, *tensors: torch.Tensor) -> Call:
    """Three products for q, k and v, rotary positions, grouped attention, rms_norm and silu."""
    op = problem.op
    if not isinstance(op, LlamaBlock):
        raise TypeError(f"not Llama's block: {op!r}")
    x = tensors[0]
    cos, sin = (torch.from_numpy(values).to(x.device, x.dtype) for values in op.angles())
    return partial(_llama, op.heads, op.key_heads, cos, sin, *tensors)


def _llama(
    heads: int, keys: int, cos: torch.Tensor, sin: torch.Tensor, x: torch.Tensor, *weights: torch.Tensor
) -> torch.Tensor:
    norm1, w_q, w_k, w_v, w_o, norm2, w_gate, w_up, w_down = weights
    hidden = (x.shape[-1],)
    n = F.rms_norm(x, hidden, norm1, EPS)
    q, k = (_turned(_split(F.linear(n, w), some), cos, sin) for w, some in ((w_q, heads), (w_k, keys)))
    v = _split(F.linear(n, w_v), keys)
    mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=keys != heads)
    z = x + F.linear(mixed.transpose(1, 2).reshape(x.shape), w_o)
    n = F.rms_norm(z, hidden, norm2, EPS)
    return z + F.linear(F.silu(F.linear(n, w_gate)) * F.linear(n, w_up), w_down)


def _split(projected: torch.Tensor, heads: int) -> torch.Tensor:
    """Return batch × seq × heads·dim as batch × heads × seq × dim."""
    batch, seq, _ = projected.shape
    return projected.view(batch, seq, heads, -1).transpose(1, 2)


def _turned(heads: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    first, second = heads.chunk(2, -1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), -1)
