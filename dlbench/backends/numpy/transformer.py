"""A transformer's block by BLAS and array expressions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.normal import EPS
from dlbench.ops.problem import Problem
from dlbench.ops.transformer import BertBlock, LlamaBlock
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


class _Attention:
    """Heads of queries over heads of keys and values, which may be fewer, with or without a causal mask."""

    def __init__(self, x: Tensor, heads: int, keys: int, *, causal: bool) -> None:
        self.batch, self.seq, self.hidden = x.shape
        self.heads, self.keys, self.dim = heads, keys, self.hidden // heads
        self.scale = x.dtype.type(1 / math.sqrt(self.dim))
        self.masked = np.triu(np.ones((self.seq, self.seq), bool), 1) if causal else None

    def split(self, projected: Tensor, heads: int) -> Tensor:
        """Return batch × heads × seq × dim."""
        return projected.reshape(self.batch, self.seq, heads, self.dim).transpose(0, 2, 1, 3)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return what the heads put out, batch × seq × hidden."""
        groups = self.heads // self.keys
        if groups > 1:  # the queries of a group stand beside one another, before their one head of keys
            q = q.reshape(self.batch, self.keys, groups, self.seq, self.dim)
            k, v = k[:, :, None], v[:, :, None]
        scores = (q * self.scale) @ k.swapaxes(-1, -2)
        if self.masked is not None:
            np.copyto(scores, -np.inf, where=self.masked)
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed: Tensor = (scores @ v).reshape(self.batch, self.heads, self.seq, self.dim)
        return mixed.transpose(0, 2, 1, 3).reshape(self.batch, self.seq, self.hidden)


def _layer_norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt(np.square(centred).mean(axis=-1, keepdims=True) + x.dtype.type(EPS))
    normed: Tensor = centred / spread * weight + bias
    return normed


def _rms_norm(x: Tensor, weight: Tensor) -> Tensor:
    size = np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + x.dtype.type(EPS))
    normed: Tensor = x / size * weight
    return normed


@implements("bert_block", variant="library")
def bert(problem: Problem, *tensors: Tensor) -> Call:
    """Products by BLAS; the error function is scipy's."""
    from scipy.special import erf  # a worker of other cases does not wait for it

    op = problem.op
    if not isinstance(op, BertBlock):
        raise TypeError(f"not BERT's block: {op!r}")
    x, w_qkv, b_qkv, w_o, b_o, weight1, bias1, w1, b1, w2, b2, weight2, bias2 = tensors
    attention = _Attention(x, op.heads, op.heads, causal=False)
    half, root = x.dtype.type(0.5), x.dtype.type(1 / math.sqrt(2))

    def call() -> Tensor:
        parts = np.split(x @ w_qkv.T + b_qkv, 3, axis=-1)
        mixed = attention.mix(*(attention.split(part, op.heads) for part in parts))
        z = _layer_norm(x + (mixed @ w_o.T + b_o), weight1, bias1)
        inner = z @ w1.T + b1
        inner *= half * (1 + erf(inner * root))
        return _layer_norm(z + (inner @ w2.T + b2), weight2, bias2)

    return call


@implements("llama_block", variant="library")
def llama(problem: Problem, *tensors: Tensor) -> Call:
    """Products by BLAS, rotary positions and norms as array expressions."""
    op = problem.op
    if not isinstance(op, LlamaBlock):
        raise TypeError(f"not Llama's block: {op!r}")
    x, norm1, w_q, w_k, w_v, w_o, norm2, w_gate, w_up, w_down = tensors
    attention = _Attention(x, op.heads, op.key_heads, causal=True)
    cos, sin = (values.astype(x.dtype) for values in op.angles())
    half = x.dtype.type(0.5)

    def turned(projected: Tensor, heads: int) -> Tensor:
        first, second = np.split(attention.split(projected, heads), 2, axis=-1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    def call() -> Tensor:
        n = _rms_norm(x, norm1)
        q, k = turned(n @ w_q.T, op.heads), turned(n @ w_k.T, op.key_heads)
        z = x + attention.mix(q, k, attention.split(n @ w_v.T, op.key_heads)) @ w_o.T
        n = _rms_norm(z, norm2)
        gate = n @ w_gate.T
        gate *= half * (1 + np.tanh(half * gate))
        gate *= n @ w_up.T
        y: Tensor = z + gate @ w_down.T
        return y

    return call
