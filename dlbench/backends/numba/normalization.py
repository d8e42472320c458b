"""Normalisation as loops over the groups and over the elements of each."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.normal import EPS, Norm
from dlbench.ops.normalization import BatchNorm, GroupNorm, LocalResponseNorm
from dlbench.ops.op import Direction, Op
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]

BACKWARD: tuple[Direction, ...] = ("backward",)


class _Channels(NamedTuple):
    """Which weight belongs to part a of group g: number g % cycle · outer + a · inner."""

    cycle: int
    outer: int
    inner: int


def _norm(op: Op) -> Norm:
    if not isinstance(op, Norm):
        raise TypeError(f"not a normalisation: {op!r}")
    return op


def _grouped(op: Norm, images: Tensor) -> Tensor:
    """Return a view of groups × parts × elements: the parts of a group are channels, or one channel's images."""
    n, c, h, w = images.shape
    if isinstance(op, BatchNorm):
        return images.reshape(n, c, h * w).transpose(1, 0, 2)
    groups = op.groups if isinstance(op, GroupNorm) else c
    return images.reshape(n * groups, c // groups, h * w)


def _channels(op: Norm) -> _Channels:
    """Return how the weights are numbered in `_grouped`."""
    (c,) = op.weight_shape
    return _Channels(op.groups, c // op.groups, 1) if isinstance(op, GroupNorm) else _Channels(c, 1, 0)


@njit(cache=True)
def _forward(x, weight, bias, out, channels, eps):  # type: ignore[no-untyped-def]  # numba infers the types
    cycle, outer, inner = channels
    groups, parts, elements = x.shape
    number = out.dtype.type
    count, one = number(parts * elements), number(1)
    for g in range(groups):
        mean = number(0)
        for a in range(parts):
            for m in range(elements):
                mean += x[g, a, m]
        mean /= count
        variance = number(0)
        for a in range(parts):
            for m in range(elements):
                deviation = x[g, a, m] - mean
                variance += deviation * deviation
        scale = one / np.sqrt(variance / count + eps)
        for a in range(parts):
            at = g % cycle * outer + a * inner
            for m in range(elements):
                out[g, a, m] = (x[g, a, m] - mean) * scale * weight[at] + bias[at]


@njit(cache=True)
def _inference(x, weight, bias, mean, variance, out, eps):  # type: ignore[no-untyped-def]  # numba infers the types
    channels, images, elements = x.shape
    one = out.dtype.type(1)
    for c in range(channels):
        scale = one / np.sqrt(variance[c] + eps)
        for n in range(images):
            for m in range(elements):
                out[c, n, m] = (x[c, n, m] - mean[c]) * scale * weight[c] + bias[c]


@njit(cache=True)
def _backward(  # type: ignore[no-untyped-def]  # numba infers the types
    x, dy, weight, mean, scale, dx, dweight, dbias, channels, trained
):
    cycle, outer, inner = channels
    groups, parts, elements = x.shape
    number = dx.dtype.type
    count = number(parts * elements)
    dweight[:] = 0
    dbias[:] = 0
    for g in range(groups):
        along, middle = number(0), number(0)
        for a in range(parts):
            at = g % cycle * outer + a * inner
            product, total = number(0), number(0)
            for m in range(elements):
                product += dy[g, a, m] * (x[g, a, m] - mean[g]) * scale[g]
                total += dy[g, a, m]
            dweight[at] += product
            dbias[at] += total
            if trained:
                along += product * weight[at]
                middle += total * weight[at]
        along /= count
        middle /= count
        for a in range(parts):
            at = g % cycle * outer + a * inner
            for m in range(elements):
                standard = (x[g, a, m] - mean[g]) * scale[g]
                dx[g, a, m] = scale[g] * (dy[g, a, m] * weight[at] - middle - standard * along)


@njit(cache=True)
def _layer(x, weight, bias, y, eps):  # type: ignore[no-untyped-def]  # numba infers the types
    number = y.dtype.type
    count, one = number(x.shape[1]), number(1)
    for i in range(x.shape[0]):
        mean = number(0)
        for j in range(x.shape[1]):
            mean += x[i, j]
        mean /= count
        variance = number(0)
        for j in range(x.shape[1]):
            variance += (x[i, j] - mean) * (x[i, j] - mean)
        scale = one / np.sqrt(variance / count + eps)
        for j in range(x.shape[1]):
            y[i, j] = (x[i, j] - mean) * scale * weight[j] + bias[j]
    return y


@njit(cache=True)
def _layer_backward(x, dy, weight, mean, scale, dx, dweight, dbias):  # type: ignore[no-untyped-def]  # numba infers the types
    number = dx.dtype.type
    count = number(x.shape[1])
    dweight[:] = 0
    dbias[:] = 0
    for i in range(x.shape[0]):
        along, middle = number(0), number(0)
        for j in range(x.shape[1]):
            product = dy[i, j] * (x[i, j] - mean[i]) * scale[i]
            dweight[j] += product
            dbias[j] += dy[i, j]
            along += product * weight[j]
            middle += dy[i, j] * weight[j]
        along /= count
        middle /= count
        for j in range(x.shape[1]):
            standard = (x[i, j] - mean[i]) * scale[i]
            dx[i, j] = scale[i] * (dy[i, j] * weight[j] - middle - standard * along)
    return dx, dweight, dbias


@njit(cache=True)
def _rms(x, weight, y, eps):  # type: ignore[no-untyped-def]  # numba infers the types
    number = y.dtype.type
    count, one = number(x.shape[1]), number(1)
    for i in range(x.shape[0]):
        total = number(0)
        for j in range(x.shape[1]):
            total += x[i, j] * x[i, j]
        scale = one / np.sqrt(total / count + eps)
        for j in range(x.shape[1]):
            y[i, j] = x[i, j] * scale * weight[j]
    return y


@njit(cache=True)
def _rms_backward(x, dy, weight, scale, dx, dweight):  # type: ignore[no-untyped-def]  # numba infers the types
    number = dx.dtype.type
    count = number(x.shape[1])
    dweight[:] = 0
    for i in range(x.shape[0]):
        along = number(0)
        for j in range(x.shape[1]):
            product = dy[i, j] * x[i, j] * scale[i]
            dweight[j] += product
            along += product * weight[j]
        along /= count
        for j in range(x.shape[1]):
            dx[i, j] = scale[i] * (dy[i, j] * weight[j] - x[i, j] * scale[i] * along)
    return dx, dweight


@njit(cache=True)
def _response(x, y, before, after, rate, beta, k):  # type: ignore[no-untyped-def]  # numba infers the types
    images, channels, height, width = x.shape
    for n in range(images):
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    total = y.dtype.type(0)
                    for other in range(max(c - before, 0), min(c + after + 1, channels)):
                        total += x[n, other, i, j] * x[n, other, i, j]
                    y[n, c, i, j] = x[n, c, i, j] / (k + rate * total) ** beta
    return y


@njit(cache=True)
def _response_backward(  # type: ignore[no-untyped-def]  # numba infers the types
    x, dy, denominators, shares, dx, before, after, factor, beta
):
    images, channels, height, width = x.shape
    for n in range(images):
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    dx[n, c, i, j] = dy[n, c, i, j] / denominators[n, c, i, j] ** beta
                    shares[n, c, i, j] = dx[n, c, i, j] * x[n, c, i, j] / denominators[n, c, i, j]
        for c in range(channels):
            for i in range(height):
                for j in range(width):
                    total = dx.dtype.type(0)
                    for other in range(max(c - after, 0), min(c + before + 1, channels)):
                        total += shares[n, other, i, j]
                    dx[n, c, i, j] -= factor * x[n, c, i, j] * total
    return dx


@implements("batch_norm", variant="naive")
@implements("group_norm", variant="naive")
@implements("instance_norm", variant="naive")
def forward(problem: Problem, x: Tensor, weight: Tensor, bias: Tensor, *running: Tensor) -> Call:
    """Three loops over each group: its mean, its variance, the output."""
    op, y, eps = _norm(problem.op), np.empty_like(x), x.dtype.type(EPS)
    given, out = _grouped(op, x), _grouped(op, y)
    loops: Call = partial(_forward, given, weight, bias, out, _channels(op), eps)
    if running:
        mean, variance = running
        loops = partial(_inference, given, weight, bias, mean, variance, out, eps)

    def call() -> Tensor:
        loops()
        return y

    return call


@implements("layer_norm", variant="naive")
def layer_norm(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: Tensor,
    weight: Tensor,
    bias: Tensor,
) -> Call:
    """Three loops over each row."""
    return partial(_layer, x, weight, bias, np.empty_like(x), x.dtype.type(EPS))


@implements("layer_norm", variant="naive", directions=BACKWARD)
def layer_norm_backward(problem: Problem, x: Tensor, dy: Tensor, weight: Tensor) -> Call:
    """Two loops over each row."""
    mean, scale = _kept(problem, x, dy, weight)
    dx, dweight, dbias = np.empty_like(x), np.empty_like(weight), np.empty_like(weight)
    return partial(_layer_backward, x, dy, weight, mean, scale, dx, dweight, dbias)


@implements("rms_norm", variant="naive")
def rms_norm(problem: Problem, x: Tensor, weight: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """Two loops over each row."""
    return partial(_rms, x, weight, np.empty_like(x), x.dtype.type(EPS))


@implements("batch_norm", variant="naive", directions=BACKWARD)
@implements("group_norm", variant="naive", directions=BACKWARD)
@implements("instance_norm", variant="naive", directions=BACKWARD)
def backward(problem: Problem, x: Tensor, dy: Tensor, weight: Tensor, *running: Tensor) -> Call:
    """Two loops over each group: the sums for its statistics and its weights, and dx."""
    op = _norm(problem.op)
    mean, scale = _kept(problem, x, dy, weight, *running)
    dx, dweight, dbias = np.empty_like(x), np.empty_like(weight), np.empty_like(weight)
    given = (_grouped(op, x), _grouped(op, dy), weight, mean, scale)
    trained = not isinstance(op, BatchNorm) or op.training
    loops = partial(_backward, *given, _grouped(op, dx), dweight, dbias, _channels(op), trained)

    def call() -> tuple[Tensor, ...]:
        loops()
        return dx, dweight, dbias

    return call


@implements("rms_norm", variant="naive", directions=BACKWARD)
def rms_norm_backward(problem: Problem, x: Tensor, dy: Tensor, weight: Tensor) -> Call:
    """Two loops over each row."""
    _, scale = _kept(problem, x, dy, weight)
    return partial(_rms_backward, x, dy, weight, scale, np.empty_like(x), np.empty_like(weight))


def _kept(problem: Problem, *given: Tensor) -> tuple[Tensor, Tensor]:
    """Return each group's mean and 1 / std, as the forward pass has kept them."""
    op = _norm(problem.op)
    mean, scale = op.statistics(dict(zip(op.inputs("backward"), given, strict=True)))
    return mean.ravel().astype(given[0].dtype), scale.ravel().astype(given[0].dtype)


@implements("local_response_norm", variant="naive")
def local_response_norm(problem: Problem, x: Tensor) -> Call:
    """Loops over the pixels of each channel, and over its neighbours."""
    op = _of_neighbours(problem.op)
    constants = map(x.dtype.type, (op.rate, op.beta, op.k))
    return partial(_response, x, np.empty_like(x), *op.neighbours, *constants)


@implements("local_response_norm", variant="naive", directions=BACKWARD)
def local_response_norm_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """Loops over each image: what each channel has to share, and the sum over its neighbours."""
    op = _of_neighbours(problem.op)
    denominators = op.denominators(x).astype(x.dtype)
    constants = map(x.dtype.type, (2 * op.rate * op.beta, op.beta))
    buffers = np.empty_like(x), np.empty_like(x)
    return partial(_response_backward, x, dy, denominators, *buffers, *op.neighbours, *constants)


def _of_neighbours(op: Op) -> LocalResponseNorm:
    if not isinstance(op, LocalResponseNorm):
        raise TypeError(f"not a local response normalisation: {op!r}")
    return op
