"""Attention through torch: the fused operator by each of its back ends, and its three steps one by one."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch.nn.functional import scaled_dot_product_attention

from dlbench.backends.backend import implements
from dlbench.backends.torch import sdpa
from dlbench.backends.torch.autograd import UNCOMPILED, backward_call, leaf
from dlbench.ops.attention import Attention
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
"""Not tf32: the fused kernels choose by themselves how they multiply float32 numbers."""
BOTH: tuple[Direction, ...] = ("forward", "backward")
Forward = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def _op(problem: Problem) -> Attention:
    op = problem.op
    if not isinstance(op, Attention):
        raise TypeError(f"not attention: {op!r}")
    return op


def _fused(op: Attention) -> Forward:
    """Return the fused operator of q, k and v."""
    return partial(scaled_dot_product_attention, is_causal=op.causal, enable_gqa=op.group > 1)


@implements("attention", variant="library", dtypes=DTYPES)
def fused(problem: Problem, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Call:
    """scaled_dot_product_attention, by whichever of its kernels torch chooses for the inputs."""
    return partial(_fused(_op(problem)), q, k, v)


@implements("attention", variant="library", directions=("backward",), dtypes=DTYPES, uncompiled=UNCOMPILED)
def fused_backward(
    problem: Problem, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, do: torch.Tensor
) -> Call:
    """The gradient that belongs to the kernel which torch has chosen forward."""
    return backward_call(_fused(_op(problem)), [leaf(one) for one in (q, k, v)], [do])


def _by(back_end: str, problem: Problem, *tensors: torch.Tensor) -> Call:
    """Return the fused operator's call, or its gradient's, which torch computes by one back end.

    Raises UnsupportedError where that cannot take the problem.
    """
    op = _op(problem)
    backward = problem.direction == "backward"
    with torch.inference_mode(not backward), torch.set_grad_enabled(backward):
        q, k, v = (leaf(one) if backward else one for one in tensors[:3])
        sdpa.require(back_end, q, k, v, causal=op.causal, grouped=op.group > 1)
    return fused_backward(problem, *tensors) if backward else fused(problem, *tensors)


@implements("attention", variant="math", directions=BOTH, dtypes=DTYPES)
def by_steps(problem: Problem, *tensors: torch.Tensor) -> Call:
    """The operator's own composition of products and a softmax, which takes everything."""
    return _by("math", problem, *tensors)


@implements("attention", variant="flash", directions=BOTH, dtypes=DTYPES)
def flash(problem: Problem, *tensors: torch.Tensor) -> Call:
    """FlashAttention-2 on a GPU, its like of torch's own on a CPU."""
    return _by("flash", problem, *tensors)


@implements("attention", variant="efficient", directions=BOTH, dtypes=DTYPES)
def efficient(problem: Problem, *tensors: torch.Tensor) -> Call:
    """The memory-efficient kernel of xFormers."""
    return _by("efficient", problem, *tensors)


@implements("attention", variant="cudnn", directions=BOTH, dtypes=DTYPES)
def cudnn(problem: Problem, *tensors: torch.Tensor) -> Call:
    """cuDNN's fused attention."""
    return _by("cudnn", problem, *tensors)


@implements("attention", variant="native", dtypes=(*DTYPES, "tf32"))
def unfused(problem: Problem, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> Call:
    """A product, a softmax and a product, with all the scores in memory between them."""
    op = _op(problem)
    weigh = _weights(op, _folded(op, q), k)
    return lambda: torch.matmul(weigh(), v).view(op.q_shape)


@implements("attention", variant="native", directions=("backward",), dtypes=(*DTYPES, "tf32"))
def unfused_backward(
    problem: Problem, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, do: torch.Tensor
) -> Call:
    """Five products: the weights are computed again, as the fused kernels do."""
    op = _op(problem)
    queries, upstream = _folded(op, q), _folded(op, do)
    weigh, softmax_backward = _weights(op, queries, k), torch.ops.aten._softmax_backward_data  # noqa: SLF001 - its name

    def call() -> tuple[torch.Tensor, ...]:
        weights = weigh()
        by_score = softmax_backward(torch.matmul(upstream, v.mT), weights, -1, q.dtype).mul_(op.scale)
        dq = torch.matmul(by_score, k).view(op.q_shape)
        return dq, torch.matmul(by_score.mT, queries), torch.matmul(weights.mT, upstream)

    return call


def _folded(op: Attention, queries: torch.Tensor) -> torch.Tensor:
    """Return a view in which the queries that share a head of keys stand below one another, so that no key is copied."""
    return queries.view(op.batch, op.key_heads, op.group * op.seq_q, op.dim)


def _weights(op: Attention, queries: torch.Tensor, k: torch.Tensor) -> Callable[[], torch.Tensor]:
    """Return a call that gives the softmax of the scores."""
    hidden = None
    if op.causal:
        hidden = (
            torch.ones(op.seq_q, op.seq_k, dtype=torch.bool, device=k.device).triu_(1).repeat(op.group, 1)
        )

    def call() -> torch.Tensor:
        scores = torch.matmul(queries, k.mT).mul_(op.scale)
        if hidden is not None:
            scores.masked_fill_(hidden, float("-inf"))
        return torch.softmax(scores, -1)

    return call
