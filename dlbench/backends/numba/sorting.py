"""Sorted rows and non-maximum suppression as loops on one core."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.ops.sorting import Nms
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _insert(values, columns, held, value, column):  # type: ignore[no-untyped-def]  # numba infers the types
    """Put the value into the descending values, of which so many are held, the last one falling out if all are."""
    place = min(held, len(values) - 1)
    while place > 0 and values[place - 1] < value:
        values[place] = values[place - 1]
        columns[place] = columns[place - 1]
        place -= 1
    values[place] = value
    columns[place] = column


@njit(cache=True)
def _topk(x, values, indices):  # type: ignore[no-untyped-def]  # numba infers the types
    k = values.shape[1]
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            if j < k or x[i, j] > values[i, k - 1]:
                _insert(values[i], indices[i], j, x[i, j], j)
    return values, indices


@njit(cache=True)
def _merge(keys, source, target, first, middle, last):  # type: ignore[no-untyped-def]  # numba infers the types
    """Merge the ascending source[first:middle] and source[middle:last] into target, of equal keys the earlier first."""
    left, right = first, middle
    for place in range(first, last):
        if left < middle and (right >= last or keys[source[left]] <= keys[source[right]]):
            target[place] = source[left]
            left += 1
        else:
            target[place] = source[right]
            right += 1


@njit(cache=True)
def _merge_sort(keys, indices, spare):  # type: ignore[no-untyped-def]  # numba infers the types
    """Write to indices the places of the keys in ascending order."""
    count, width = len(keys), 1
    for place in range(count):
        indices[place] = place
    source, target = indices, spare
    while width < count:
        for first in range(0, count, 2 * width):
            _merge(keys, source, target, first, min(first + width, count), min(first + 2 * width, count))
        source, target = target, source
        width *= 2
    indices[:] = source


@njit(cache=True)
def _argsort(x, indices, spare):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(x.shape[0]):
        _merge_sort(x[i], indices[i], spare)
    return indices


@njit(cache=True)
def _overlap(box, other):  # type: ignore[no-untyped-def]  # numba infers the types
    """Return the intersection over union of two boxes."""
    zero = box.dtype.type(0)
    across = max(min(box[2], other[2]) - max(box[0], other[0]), zero)
    down = max(min(box[3], other[3]) - max(box[1], other[1]), zero)
    area = (box[2] - box[0]) * (box[3] - box[1])
    other_area = (other[2] - other[0]) * (other[3] - other[1])
    return across * down / (area + other_area - across * down)


@njit(cache=True)
def _nms(boxes, scores, threshold, order, spare, keep):  # type: ignore[no-untyped-def]  # numba infers the types
    _merge_sort(-scores, order, spare)
    keep[:] = True
    for i in range(len(order)):
        for j in range(i):
            if keep[order[j]] and _overlap(boxes[order[j]], boxes[order[i]]) > threshold:
                keep[order[i]] = False
                break
    return keep


@implements("topk", variant="naive")
def topk(problem: Problem, x: Tensor) -> Call:
    """Each element put into its place among the k largest so far."""
    shape = problem.op.outputs("forward")["values"]
    return partial(_topk, x, np.empty(shape, x.dtype), np.empty(shape, np.int64))


@implements("argsort", variant="naive")
def argsort(problem: Problem, x: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """A merge sort of each row, from the bottom up."""
    return partial(_argsort, x, np.empty(x.shape, np.int64), np.empty(x.shape[1], np.int64))


@implements("nms", variant="naive")
def nms(problem: Problem, boxes: Tensor, scores: Tensor) -> Call:
    """A merge sort by score, and each box against those kept before it."""
    op = problem.op
    if not isinstance(op, Nms):
        raise TypeError(f"not nms: {op!r}")
    order, spare = (np.empty(op.n, np.int64) for _ in range(2))
    threshold = scores.dtype.type(op.threshold)
    return partial(_nms, boxes, scores, threshold, order, spare, np.empty(op.n, np.bool_))
