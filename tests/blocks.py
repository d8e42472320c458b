"""Blocks of transformers as torch's own modules have them, and by the papers' equations with complex numbers."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Literal

from descent import tensors

from dlbench.ops.dtypes import Array
from dlbench.ops.transformer import BertBlock, LlamaBlock

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

Given = Mapping[str, Array]


def encoder(op: BertBlock, *, norm_first: bool = False, device: str = "cpu") -> torch.nn.Module:
    """Return torch's encoder layer of these sizes, in float64."""
    return torch.nn.TransformerEncoderLayer(
        op.hidden,
        op.heads,
        op.ffn,
        dropout=0,
        activation="gelu",
        batch_first=True,
        norm_first=norm_first,
        dtype=torch.float64,
        device=device,
    ).eval()


THEIR_NAMES = {
    "w_qkv": "self_attn.in_proj_weight", "b_qkv": "self_attn.in_proj_bias",
    "w_o": "self_attn.out_proj.weight", "b_o": "self_attn.out_proj.bias",
    "norm1_weight": "norm1.weight", "norm1_bias": "norm1.bias", "w1": "linear1.weight", "b1": "linear1.bias",
    "w2": "linear2.weight", "b2": "linear2.bias", "norm2_weight": "norm2.weight", "norm2_bias": "norm2.bias",
}  # fmt: skip


def encoded(op: BertBlock, given: Given, *, norm_first: bool = False) -> Array:
    """Return what torch's layer makes of x; with gradients on it takes no short cut of its own."""
    layer = encoder(op, norm_first=norm_first)
    found = tensors(given)
    layer.load_state_dict({theirs: found[ours] for ours, theirs in THEIR_NAMES.items()})
    y: Array = layer(found["x"]).detach().numpy()
    return y


Pairs = Literal["halves", "neighbours"]


def turned(heads: torch.Tensor, pairs: Pairs) -> torch.Tensor:
    """Multiply each pair of numbers, as a complex one, by e^(i · position · angle)."""
    *_, seq, dim = heads.shape
    angles = 500_000.0 ** -(torch.arange(dim // 2, dtype=torch.float64, device=heads.device) * 2 / dim)
    positions = torch.arange(seq, dtype=torch.float64, device=heads.device)
    rotations = torch.polar(torch.ones_like(angles), positions[:, None] * angles)
    if pairs == "neighbours":
        grouped = torch.view_as_complex(heads.unflatten(-1, (dim // 2, 2)))  # type: ignore[no-untyped-call]
        return torch.view_as_real(grouped * rotations).flatten(-2)
    whole = (
        torch.complex(heads[..., : dim // 2].contiguous(), heads[..., dim // 2 :].contiguous()) * rotations
    )
    return torch.cat([whole.real, whole.imag], -1)


def decoded(
    op: LlamaBlock,
    t: Mapping[str, torch.Tensor],
    *,
    masked: bool = True,
    pairs: Pairs = "halves",
    interleaved: bool = False,
) -> torch.Tensor:
    """Return the block's answer by its equations; `interleaved` has neighbouring heads of queries share none of keys."""

    def norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + 1e-5) * weight

    def heads(x: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return (x @ w.T).reshape(op.batch, op.seq, -1, op.dim).movedim(1, 2)

    def shared(x: torch.Tensor) -> torch.Tensor:
        group = op.heads // x.shape[1]
        return x.repeat(1, group, 1, 1) if interleaved else x.repeat_interleave(group, 1)

    n = norm(t["x"], t["norm1_weight"])
    q, k = (turned(heads(n, t[name]), pairs) for name in ("w_q", "w_k"))
    k, v = shared(k), shared(heads(n, t["w_v"]))
    scores = q @ k.mT / math.sqrt(op.dim)
    if masked:
        scores = scores + torch.full_like(scores, -math.inf).triu(1)
    mixed = (scores.softmax(-1) @ v).movedim(2, 1).reshape(op.batch, op.seq, op.hidden)
    z = t["x"] + mixed @ t["w_o"].T
    n = norm(z, t["norm2_weight"])
    gate = n @ t["w_gate"].T
    return z + (gate * gate.sigmoid() * (n @ t["w_up"].T)) @ t["w_down"].T
