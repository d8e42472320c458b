"""The softmax loss of angles as loops over each feature."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.angular_loss import TURNS
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _dot(a, b):  # type: ignore[no-untyped-def]  # numba infers the types
    total = a.dtype.type(0)
    for d in range(a.size):
        total += a[d] * b[d]
    return total


@njit(cache=True)
def _psi(cosine):  # type: ignore[no-untyped-def]  # numba infers the types
    """Return psi and its slope."""
    piece = (cosine < TURNS[0]) + (cosine < TURNS[1]) + (cosine < TURNS[2])
    sign, square = 1 - 2 * (piece % 2), cosine * cosine
    return sign * (8 * square * (square - 1) + 1) - 2 * piece, sign * 16 * cosine * (2 * square - 1)


@njit(cache=True)
def _norms(w, norms):  # type: ignore[no-untyped-def]  # numba infers the types
    for j in range(w.shape[0]):
        norms[j] = np.sqrt(_dot(w[j], w[j]))


@njit(cache=True)
def _logits(x, w, norms, label, logits):  # type: ignore[no-untyped-def]  # numba infers the types
    """Write one feature's logits; return its length, its cosine to the label, their largest and the sum of their powers."""
    length, largest = np.sqrt(_dot(x, x)), x.dtype.type(-np.inf)
    for j in range(w.shape[0]):
        logits[j] = _dot(x, w[j]) / norms[j]
    cosine = logits[label] / length
    logits[label] = length * x.dtype.type(_psi(cosine)[0])
    for j in range(w.shape[0]):
        largest = max(largest, logits[j])
    total = x.dtype.type(0)
    for j in range(w.shape[0]):
        total += np.exp(logits[j] - largest)
    return length, cosine, largest, total


@njit(cache=True)
def _angular_softmax(x, w, labels, norms, logits, loss):  # type: ignore[no-untyped-def]  # numba infers the types
    _norms(w, norms)
    mean = x.dtype.type(0)
    for i in range(x.shape[0]):
        _, _, largest, total = _logits(x[i], w, norms, labels[i], logits)
        mean += largest - logits[labels[i]] + np.log(total)
    loss[()] = mean / x.shape[0]
    return loss


@njit(cache=True)
def _angular_softmax_backward(x, w, labels, dloss, norms, logits, dx, dw):  # type: ignore[no-untyped-def]  # numba infers the types
    number = x.dtype.type
    share = dloss[()] / number(x.shape[0])
    _norms(w, norms)
    dw[:] = number(0)
    for i in range(x.shape[0]):
        length, cosine, largest, total = _logits(x[i], w, norms, labels[i], logits)
        value, slope = _psi(cosine)
        along = number(0)
        for j in range(w.shape[0]):
            weight = share * np.exp(logits[j] - largest) / total
            if j == labels[i]:
                weight -= share
                along = weight * number(value - slope * cosine) / length
                weight *= number(slope)
            logits[j] = weight
        for d in range(x.shape[1]):
            dx[i, d] = along * x[i, d]
        for j in range(w.shape[0]):
            for d in range(x.shape[1]):
                dx[i, d] += logits[j] * w[j, d] / norms[j]
                dw[j, d] += logits[j] * x[i, d]
    for j in range(w.shape[0]):
        radial = _dot(dw[j], w[j]) / (norms[j] * norms[j])
        for d in range(x.shape[1]):
            dw[j, d] = (dw[j, d] - radial * w[j, d]) / norms[j]
    return dx, dw


@implements("angular_softmax", variant="naive")
def angular_softmax(problem: Problem, x: Tensor, w: Tensor, labels: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """Holds the logits of one feature at a time."""
    norms, logits = (np.empty(w.shape[0], x.dtype) for _ in range(2))
    return partial(_angular_softmax, x, w, labels, norms, logits, np.empty((), x.dtype))


@implements("angular_softmax", variant="naive", directions=("backward",))
def angular_softmax_backward(problem: Problem, x: Tensor, w: Tensor, labels: Tensor, dloss: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """Holds the logits of one feature at a time, then the gradients of its products."""
    norms, logits = (np.empty(w.shape[0], x.dtype) for _ in range(2))
    return partial(
        _angular_softmax_backward, x, w, labels, dloss, norms, logits, np.empty_like(x), np.empty_like(w)
    )
