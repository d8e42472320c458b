"""Attention by cuDNN's fused kernels."""

from __future__ import annotations

import math
from typing import Any

from dlbench.backends.backend import implements
from dlbench.backends.cupy.cudnn_graph import ALL_PLANS, Graph, best, fastest
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float16",)
"""cuDNN's attention takes 16-bit inputs (cuDNN, fused attention), and cupy has no bfloat16."""


@implements("attention", variant="cudnn", dtypes=DTYPES)
def heuristic(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Call:
    """The plan that cuDNN's heuristics put first."""
    return best(_graph(problem, q, k, v))


@implements("attention", variant="cudnn", dtypes=DTYPES, mode=ALL_PLANS)
def all_plans(problem: Problem, q: Tensor, k: Tensor, v: Tensor) -> Call:
    """Every plan timed, and the fastest called."""
    return fastest(_graph(problem, q, k, v))


def _graph(problem: Problem, *inputs: Tensor) -> Graph:
    """One node, without the statistics that only training needs.

    Keys and values are described with the heads that they have: cuDNN spreads fewer over those of the queries itself
    (cuDNN, fused attention, grouped-query attention).
    """
    scale = 1 / math.sqrt(inputs[0].shape[-1])
    causal = bool(problem.op.model_dump()["causal"])

    def operation(graph: Any, q: Any, k: Any, v: Any) -> Any:
        output, _ = graph.sdpa(q=q, k=k, v=v, attn_scale=scale, use_causal_mask=causal, is_inference=True)
        return output

    names = dict(zip("qkv", inputs, strict=True))
    return Graph(problem.dtype, operation, names, only(outputs_of(problem)))
