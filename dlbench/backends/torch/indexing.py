"""Rows and elements by index, and matrices side by side, through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn.functional import embedding as rows_of

from dlbench.backends.backend import implements
from dlbench.ops.indexing import Embedding
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
NO_PADDING = -1
"""For an index whose row gets no gradient: there is none."""


@implements("embedding", variant="library", dtypes=DTYPES)
@implements("embedding", variant="native", dtypes=DTYPES)
def embedding(problem: Problem, indices: torch.Tensor, table: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.nn.functional.embedding."""
    return partial(rows_of, indices, table)


@implements("embedding", variant="library", directions=("backward_weight",), dtypes=DTYPES)
@implements("embedding", variant="native", directions=("backward_weight",), dtypes=DTYPES)
def embedding_gradient(problem: Problem, indices: torch.Tensor, dy: torch.Tensor) -> Call:
    """The operator that autograd calls for the dense gradient of an embedding."""
    op = problem.op
    if not isinstance(op, Embedding):
        raise TypeError(f"not an embedding: {op!r}")
    return partial(torch.ops.aten.embedding_dense_backward, dy, indices, op.vocab, NO_PADDING, False)


@implements("gather", variant="library", dtypes=DTYPES)
@implements("gather", variant="native", dtypes=DTYPES)
def gather(problem: Problem, x: torch.Tensor, index: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.gather along axis 0."""
    y = torch.empty(index.shape, dtype=x.dtype, device=x.device)
    return partial(torch.gather, x, 0, index, out=y)


@implements("gather", variant="library", directions=("backward",), dtypes=DTYPES)
@implements("gather", variant="native", directions=("backward",), dtypes=DTYPES)
def gather_gradient(problem: Problem, index: torch.Tensor, dy: torch.Tensor) -> Call:
    """Zeros, and scatter_add_ into them, as autograd does."""
    dx = torch.empty(problem.op.outputs("backward")["dx"], dtype=dy.dtype, device=dy.device)
    return lambda: dx.zero_().scatter_add_(0, index, dy)


@implements("scatter_add", variant="library", dtypes=DTYPES)
@implements("scatter_add", variant="native", dtypes=DTYPES)
def scatter_add(problem: Problem, x: torch.Tensor, index: torch.Tensor, src: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """torch.scatter_add along axis 0, which copies x first."""
    return partial(torch.scatter_add, x, 0, index, src, out=torch.empty_like(x))


@implements("concat", variant="library", dtypes=DTYPES)
@implements("concat", variant="native", dtypes=DTYPES)
def concat(problem: Problem, *parts: torch.Tensor) -> Call:
    """torch.cat along the last axis."""
    y = torch.empty(problem.op.outputs("forward")["y"], dtype=parts[0].dtype, device=parts[0].device)
    return partial(torch.cat, parts, -1, out=y)


@implements("concat", variant="library", directions=("backward",), dtypes=DTYPES)
@implements("concat", variant="native", directions=("backward",), dtypes=DTYPES)
def split(problem: Problem, dy: torch.Tensor) -> Call:
    """torch.split_copy along the last axis: torch.split gives views, which would cost nothing."""
    shapes = list(problem.op.outputs("backward").values())
    return partial(torch.split_copy, dy, shapes[0][1], -1)
