"""Normalisation as array expressions: passes over x, and reductions along whole axes of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.normal import EPS, Norm
from dlbench.ops.normalization import BatchNorm, LocalResponseNorm, RmsNorm
from dlbench.ops.op import Direction, Op
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]

BACKWARD: tuple[Direction, ...] = ("backward",)


def _norm(op: Op) -> Norm:
    if not isinstance(op, Norm):
        raise TypeError(f"not a normalisation: {op!r}")
    return op


@implements("batch_norm", variant="native")
@implements("group_norm", variant="native")
@implements("instance_norm", variant="native")
@implements("layer_norm", variant="native")
def forward(problem: Problem, x: Tensor, weight: Tensor, bias: Tensor, *running: Tensor) -> Call:
    """The mean, the deviations, their mean square, and the deviations once more, in place in the output."""
    op = _norm(problem.op)
    folding = op.folding
    folded, gain, shift = x.reshape(folding.shape), *(t.reshape(folding.weights) for t in (weight, bias))
    y = np.empty_like(x)
    out, squares = y.reshape(folding.shape), np.empty_like(folded)
    if running:
        return _with_given_statistics(folded, gain, shift, running, y)
    axes = folding.axes
    mean = np.empty_like(folded.mean(axis=axes, keepdims=True))
    deviation = np.empty_like(mean)

    def call() -> Tensor:
        np.mean(folded, axis=axes, keepdims=True, out=mean)
        np.subtract(folded, mean, out=out)
        np.square(out, out=squares)
        np.mean(squares, axis=axes, keepdims=True, out=deviation)
        _root(deviation)
        np.divide(out, deviation, out=out)
        np.multiply(out, gain, out=out)
        np.add(out, shift, out=out)
        return y

    return call


def _with_given_statistics(
    folded: Tensor, gain: Tensor, shift: Tensor, running: tuple[Tensor, ...], y: Tensor
) -> Call:
    """Return a call that takes mean and variance as they are given."""
    mean, variance = (t.reshape(gain.shape) for t in running)
    out, deviation = y.reshape(folded.shape), np.empty_like(variance)

    def call() -> Tensor:
        np.copyto(deviation, variance)
        _root(deviation)
        np.subtract(folded, mean, out=out)
        np.divide(out, deviation, out=out)
        np.multiply(out, gain, out=out)
        np.add(out, shift, out=out)
        return y

    return call


def _root(variance: Tensor) -> None:
    """Make standard deviations of variances, in place."""
    np.add(variance, EPS, out=variance)
    np.sqrt(variance, out=variance)


@implements("rms_norm", variant="native")
def rms_norm(problem: Problem, x: Tensor, weight: Tensor) -> Call:
    """The squares, their mean over each row, and the division by its root."""
    if not isinstance(problem.op, RmsNorm):
        raise TypeError(f"not an RMS normalisation: {problem.op!r}")
    y, root = np.empty_like(x), np.empty((len(x), 1), x.dtype)

    def call() -> Tensor:
        np.square(x, out=y)
        np.mean(y, axis=1, keepdims=True, out=root)
        _root(root)
        np.divide(x, root, out=y)
        np.multiply(y, weight, out=y)
        return y

    return call


@implements("batch_norm", variant="native", directions=BACKWARD)
@implements("group_norm", variant="native", directions=BACKWARD)
@implements("instance_norm", variant="native", directions=BACKWARD)
@implements("layer_norm", variant="native", directions=BACKWARD)
@implements("rms_norm", variant="native", directions=BACKWARD)
def backward(problem: Problem, x: Tensor, dy: Tensor, weight: Tensor, *running: Tensor) -> Call:
    """The standardised x again, the weight's gradients, and what the group's statistics take off dy · weight.

    Not in training the statistics are given and take nothing off.
    """
    op = _norm(problem.op)
    folding = op.folding
    folded, given, gain = x.reshape(folding.shape), dy.reshape(folding.shape), weight.reshape(folding.weights)
    kept = op.statistics(dict(zip(op.inputs("backward"), (x, dy, weight, *running), strict=True)))
    mean, scale = (one.astype(x.dtype) for one in kept)
    standard, products, dx = (np.empty_like(folded) for _ in range(3))
    dweight, dbias = np.empty_like(weight), np.empty_like(weight)
    sums = [_unshared(one, op) for one in (dweight, dbias)]
    trained = not isinstance(op, BatchNorm) or op.training

    def weights() -> None:
        np.multiply(given, standard, out=products)
        np.sum(products, axis=folding.shared, keepdims=True, out=sums[0])
        if op.centred:
            np.sum(given, axis=folding.shared, keepdims=True, out=sums[1])

    along, middle = np.empty_like(scale), np.empty_like(scale)

    def less_statistics() -> None:
        np.multiply(dx, standard, out=products)
        np.mean(products, axis=folding.axes, keepdims=True, out=along)
        if op.centred:
            np.mean(dx, axis=folding.axes, keepdims=True, out=middle)
            np.subtract(dx, middle, out=dx)
        np.multiply(standard, along, out=products)
        np.subtract(dx, products, out=dx)

    def call() -> tuple[Tensor, ...]:
        np.subtract(folded, mean, out=standard)
        np.multiply(standard, scale, out=standard)
        weights()
        np.multiply(given, gain, out=dx)
        if trained:
            less_statistics()
        np.multiply(dx, scale, out=dx)
        return (dx.reshape(x.shape), dweight, dbias)[: 2 + op.centred]

    return call


def _unshared(weight: Tensor, op: Norm) -> Tensor:
    """Return a view of a weight in as many axes as the folded input has."""
    shared, shape = op.folding.shared, op.folding.shape
    return weight.reshape([1 if axis in shared else shape[axis] for axis in range(len(shape))])


class _Neighbours:
    """Sums over neighbouring channels, through views of a buffer that has zeros before and after the channels."""

    def __init__(self, like: Tensor, before: int, after: int) -> None:
        n, c, h, w = like.shape
        around = np.zeros((n, c + before + after, h, w), like.dtype)
        self.middle = around[:, before : before + c]
        """Where what is summed is written to."""
        self._shifted = [around[:, at : at + c] for at in range(before + after + 1)]

    def sum(self, out: Tensor) -> None:
        """Write the sums."""
        np.copyto(out, self._shifted[0])
        for one in self._shifted[1:]:
            np.add(out, one, out=out)


@implements("local_response_norm", variant="native")
def local_response_norm(problem: Problem, x: Tensor) -> Call:
    """The squares between zeros, the sum of their shifted views, and the division by its power."""
    op = _response(problem.op)
    squares, y = _Neighbours(x, *op.neighbours), np.empty_like(x)

    def call() -> Tensor:
        np.square(x, out=squares.middle)
        squares.sum(y)
        np.multiply(y, op.rate, out=y)
        np.add(y, op.k, out=y)
        np.power(y, -op.beta, out=y)
        np.multiply(y, x, out=y)
        return y

    return call


@implements("local_response_norm", variant="native", directions=BACKWARD)
def local_response_norm_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dy over the kept denominators' powers, less what each pixel has of its neighbours' sums."""
    op = _response(problem.op)
    denominators = op.denominators(x).astype(x.dtype)
    before, after = op.neighbours
    shares, dx, total = _Neighbours(x, after, before), np.empty_like(x), np.empty_like(x)
    factor = 2 * op.rate * op.beta

    def call() -> Tensor:
        np.power(denominators, -op.beta, out=dx)
        np.multiply(dx, dy, out=dx)
        np.multiply(dx, x, out=shares.middle)
        np.divide(shares.middle, denominators, out=shares.middle)
        shares.sum(total)
        np.multiply(total, x, out=total)
        np.multiply(total, factor, out=total)
        np.subtract(dx, total, out=dx)
        return dx

    return call


def _response(op: Op) -> LocalResponseNorm:
    if not isinstance(op, LocalResponseNorm):
        raise TypeError(f"not a local response normalisation: {op!r}")
    return op
