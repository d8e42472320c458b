"""Sorted rows and non-maximum suppression as array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.ops.sorting import Nms, Topk
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]
DTYPES = ("float32", "float64", "float16")


@implements("topk", variant="native", dtypes=DTYPES)
def topk(problem: Problem, x: Tensor) -> Call:
    """numpy.argpartition, and numpy.argsort of the k."""
    op = problem.op
    if not isinstance(op, Topk):
        raise TypeError(f"not topk: {op!r}")
    first = op.cols - op.k

    def call() -> tuple[Tensor, Tensor]:
        columns = np.argpartition(x, first, axis=-1)[:, first:]
        values = np.take_along_axis(x, columns, axis=-1)
        order = np.argsort(values, axis=-1)[:, ::-1]
        return np.take_along_axis(values, order, axis=-1), np.take_along_axis(columns, order, axis=-1)

    return call


@implements("argsort", variant="native", dtypes=DTYPES)
def argsort(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """numpy.argsort over the last axis, by its default, which is not stable."""
    return lambda: np.argsort(x, axis=-1)


@implements("nms", variant="native")
def nms(problem: Problem, boxes: Tensor, scores: Tensor) -> Call:
    """The overlaps of each kept box with all that are left, after which only those it leaves are looked at."""
    op = problem.op
    if not isinstance(op, Nms):
        raise TypeError(f"not nms: {op!r}")
    threshold = scores.dtype.type(op.threshold)

    def call() -> Tensor:
        keep = np.ones(len(scores), np.bool_)
        waiting = np.argsort(-scores, kind="stable")
        left, top, right, bottom = np.ascontiguousarray(boxes.T)
        areas = (right - left) * (bottom - top)
        while waiting.size:
            best, rest = waiting[0], waiting[1:]
            across = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
            down = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
            shared = np.maximum(across, 0) * np.maximum(down, 0)
            dropped = shared / (areas[best] + areas[rest] - shared) > threshold
            keep[rest[dropped]] = False
            waiting = rest[~dropped]
        return keep

    return call
