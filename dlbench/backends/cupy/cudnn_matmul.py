"""Matrix products by cuDNN."""

from __future__ import annotations

from typing import Any

from dlbench.backends.backend import implements
from dlbench.backends.cupy.cudnn_graph import ALL_PLANS, DTYPES, Graph, best, fastest
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.errors import UnsupportedError
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


@implements("matmul", variant="cudnn", dtypes=DTYPES)
def heuristic(problem: Problem, *operands: Tensor) -> Call:
    """The plan that cuDNN's heuristics put first."""
    return best(_graph(problem, *operands))


@implements("matmul", variant="cudnn", dtypes=DTYPES, mode=ALL_PLANS)
def all_plans(problem: Problem, *operands: Tensor) -> Call:
    """Every plan timed, and the fastest called."""
    return fastest(_graph(problem, *operands))


def _graph(problem: Problem, a: Tensor, b: Tensor, *c0: Tensor) -> Graph:
    """cuDNN's matrices have a batch axis always, and a transposed one is a view.

    Raises UnsupportedError where there are alpha and beta.
    """
    op = problem.op
    if not isinstance(op, Matmul):
        raise TypeError(f"not a matrix product: {op!r}")
    if c0 or not op.plain:
        raise UnsupportedError(f"{problem.label}: cuDNN's matrix product has no alpha and beta")
    a, b = (tensor.reshape(op.batch, *tensor.shape[-2:]) for tensor in (a, b))
    left = a.transpose(0, 2, 1) if op.trans_a else a
    right = b.transpose(0, 2, 1) if op.trans_b else b
    c = only(outputs_of(problem))

    def operation(graph: Any, first: Any, second: Any) -> Any:
        return graph.matmul(A=first, B=second)

    graph = Graph(problem.dtype, operation, {"A": left, "B": right}, c.reshape(op.batch, op.m, op.n))
    graph.output = c
    return graph
