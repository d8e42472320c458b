"""Sorted rows and non-maximum suppression through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.ops.sorting import Nms, Topk
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


@implements("topk", variant="library", dtypes=DTYPES)
@implements("topk", variant="native", dtypes=DTYPES)
def topk(problem: Problem, x: torch.Tensor) -> Call:
    """torch.topk over the last axis."""
    op = problem.op
    if not isinstance(op, Topk):
        raise TypeError(f"not topk: {op!r}")
    return partial(torch.topk, x, op.k, -1)


@implements("argsort", variant="library", dtypes=DTYPES)
@implements("argsort", variant="native", dtypes=DTYPES)
def argsort(problem: Problem, x: torch.Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """torch.argsort over the last axis, not asked to be stable."""
    return partial(torch.argsort, x, -1)


@implements("nms", variant="library", uncompiled="how often it goes over the boxes depends on the data")
@implements("nms", variant="native")
def nms(problem: Problem, boxes: torch.Tensor, scores: torch.Tensor) -> Call:
    """The overlaps of all pairs, and passes over all boxes until none changes.

    A pass keeps those boxes that none of the pass before overlaps. After as many passes as boxes suppress one another in
    a row, what is kept is what taking them one by one keeps (Z. Zheng et al., Enhancing Geometric Factors in Model
    Learning and Inference for Object Detection and Instance Segmentation, 2020, on Cluster-NMS). Each waits for the
    device once.
    """
    op = problem.op
    if not isinstance(op, Nms):
        raise TypeError(f"not nms: {op!r}")

    pairs = [torch.empty(op.n, op.n, dtype=boxes.dtype, device=boxes.device) for _ in range(3)]
    earlier = torch.empty(op.n, op.n, dtype=torch.bool, device=boxes.device)

    def call() -> torch.Tensor:
        order = torch.argsort(scores, descending=True, stable=True)
        torch.gt(_overlaps(boxes[order], *pairs), op.threshold, out=earlier)
        earlier.tril_(-1)
        kept, before = torch.ones_like(order, dtype=torch.bool), None
        while before is None or not torch.equal(kept, before):
            before = kept
            suppressed = (earlier & before).view(torch.uint8)
            kept = suppressed.amax(-1).logical_not()  # any() of booleans is not vectorised on a processor
        return torch.empty_like(kept).scatter_(0, order, kept)

    return call


def _overlaps(
    boxes: torch.Tensor, across: torch.Tensor, down: torch.Tensor, spare: torch.Tensor
) -> torch.Tensor:
    """Return the intersection over union of each pair in the memory of `across`; the others are written over too."""
    left, top, right, bottom = boxes.unbind(-1)
    for low, high, edges in ((left, right, across), (top, bottom, down)):
        torch.minimum(high[:, None], high, out=edges)
        torch.maximum(low[:, None], low, out=spare)
        edges.sub_(spare).clamp_(min=0)
    across.mul_(down)
    areas = (right - left) * (bottom - top)
    torch.add(areas[:, None], areas, out=spare)
    return across.div_(spare.sub_(across))
