"""Sorted rows and non-maximum suppression as array operations on a GPU; cupy sorts into memory of its own."""

from __future__ import annotations

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import Tensor, outputs_of
from dlbench.ops.problem import Problem
from dlbench.ops.sorting import Nms
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16")


@implements("topk", variant="library", dtypes=DTYPES)
def topk(problem: Problem, x: Tensor) -> Call:
    """cupy.argsort, the last k columns of it, and their elements: cupy.argpartition sorts as well."""
    values, indices = outputs_of(problem)
    (rows, cols), k = x.shape, values.shape[1]
    starts = cupy.arange(rows).reshape(rows, 1) * cols
    positions = cupy.empty(indices.shape, indices.dtype)

    def call() -> tuple[Tensor, Tensor]:
        cupy.copyto(indices, cupy.argsort(x, axis=-1)[:, ::-1][:, :k])
        cupy.add(indices, starts, out=positions)
        cupy.take(x, positions, out=values)
        return values, indices

    return call


@implements("argsort", variant="library", dtypes=DTYPES)
def argsort(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """cupy.argsort over the last axis."""
    return lambda: cupy.argsort(x, axis=-1)


@implements("nms", variant="library")
def nms(problem: Problem, boxes: Tensor, scores: Tensor) -> Call:
    """The overlaps of all pairs, and passes over all boxes until none changes, each of which waits for the device.

    A pass keeps those boxes that none of the pass before overlaps: Cluster-NMS (Z. Zheng et al., Enhancing Geometric
    Factors in Model Learning and Inference for Object Detection and Instance Segmentation, 2020).
    """
    op = problem.op
    if not isinstance(op, Nms):
        raise TypeError(f"not nms: {op!r}")
    (keep,) = outputs_of(problem)
    earlier = cupy.triu(cupy.ones((op.n, op.n), "bool"), 1)

    def call() -> Tensor:
        order = cupy.argsort(-scores, kind="stable")
        above = (_overlaps(boxes[order]) > op.threshold) & earlier
        kept = ~above.any(axis=0)
        while True:
            before = kept
            kept = ~(above & before[:, None]).any(axis=0)
            if bool((kept == before).all()):
                keep[order] = kept
                return keep

    return call


def _overlaps(boxes: Tensor) -> Tensor:
    """Return the intersection over union of each pair."""
    low = cupy.maximum(boxes[:, None, :2], boxes[:, :2])
    high = cupy.minimum(boxes[:, None, 2:], boxes[:, 2:])
    sides = cupy.maximum(high - low, 0)
    shared = sides[..., 0] * sides[..., 1]
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return shared / (areas[:, None] + areas - shared)
