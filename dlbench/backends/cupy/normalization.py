"""Normalisation as array operations on a GPU: passes over x, and reductions along whole axes of it."""

from __future__ import annotations

import cupy
import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import Tensor, outputs_of
from dlbench.backends.cupy.softmax import LIBRARY_DTYPES, wide
from dlbench.ops.normal import EPS, Norm
from dlbench.ops.normalization import BatchNorm, LocalResponseNorm, RmsNorm
from dlbench.ops.op import Direction, Op
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

BACKWARD: tuple[Direction, ...] = ("backward",)


def _norm(op: Op) -> Norm:
    if not isinstance(op, Norm):
        raise TypeError(f"not a normalisation: {op!r}")
    return op


def _statistic(op: Norm, dtype: str) -> Tensor:
    """Return an array of a number for each group, which broadcasts over the folded input."""
    folding = op.folding
    return cupy.empty([1 if axis in folding.axes else n for axis, n in enumerate(folding.shape)], dtype)


def _root_of_mean(values: Tensor, op: Norm, out: Tensor) -> None:
    """Write the root of each group's mean, with EPS added to it: standard deviations of squared deviations."""
    folding = op.folding
    cupy.sum(values, axis=folding.axes, keepdims=True, out=out)
    cupy.divide(out, folding.members, out=out)
    cupy.add(out, EPS, out=out)
    cupy.sqrt(out, out=out)


@implements("batch_norm", variant="library", dtypes=LIBRARY_DTYPES)
@implements("group_norm", variant="library", dtypes=LIBRARY_DTYPES)
@implements("instance_norm", variant="library", dtypes=LIBRARY_DTYPES)
@implements("layer_norm", variant="library", dtypes=LIBRARY_DTYPES)
def forward(problem: Problem, x: Tensor, weight: Tensor, bias: Tensor, *running: Tensor) -> Call:
    """The mean, the deviations, their mean square, and the deviations once more, in float32 at least."""
    op, dtype = _norm(problem.op), wide(problem.dtype)
    folding = op.folding
    folded, gain, shift = x.reshape(folding.shape), *(t.reshape(folding.weights) for t in (weight, bias))
    y = cupy.empty(op.x_shape, x.dtype)
    if running:
        return _with_given_statistics(folded, gain, shift, running, y)
    out, deviations, squares = y.reshape(folding.shape), *(cupy.empty(folding.shape, dtype) for _ in range(2))
    mean, deviation = _statistic(op, dtype), _statistic(op, dtype)

    def call() -> Tensor:
        cupy.sum(folded, axis=folding.axes, keepdims=True, dtype=dtype, out=mean)
        cupy.divide(mean, folding.members, out=mean)
        cupy.subtract(folded, mean, out=deviations)
        cupy.multiply(deviations, deviations, out=squares)
        _root_of_mean(squares, op, deviation)
        cupy.divide(deviations, deviation, out=deviations)
        cupy.multiply(deviations, gain, out=deviations)
        cupy.add(deviations, shift, out=out)
        return y

    return call


def _with_given_statistics(
    folded: Tensor, gain: Tensor, shift: Tensor, running: tuple[Tensor, ...], y: Tensor
) -> Call:
    """Return a call that takes mean and variance as they are given."""
    mean, variance = (t.reshape(gain.shape) for t in running)
    dtype = wide(str(folded.dtype))
    out, deviations = y.reshape(folded.shape), cupy.empty(folded.shape, dtype)
    deviation = cupy.empty(variance.shape, dtype)

    def call() -> Tensor:
        cupy.add(variance, EPS, out=deviation, dtype=dtype)
        cupy.sqrt(deviation, out=deviation)
        cupy.subtract(folded, mean, out=deviations, dtype=dtype)
        cupy.divide(deviations, deviation, out=deviations)
        cupy.multiply(deviations, gain, out=deviations)
        cupy.add(deviations, shift, out=out)
        return y

    return call


@implements("rms_norm", variant="library", dtypes=LIBRARY_DTYPES)
def rms_norm(problem: Problem, x: Tensor, weight: Tensor) -> Call:
    """The squares, their mean over each row, and the division by its root, in float32 at least."""
    op, dtype = problem.op, wide(problem.dtype)
    if not isinstance(op, RmsNorm):
        raise TypeError(f"not an RMS normalisation: {op!r}")
    y, wider, root = cupy.empty(op.x_shape, x.dtype), cupy.empty(op.x_shape, dtype), _statistic(op, dtype)

    def call() -> Tensor:
        cupy.multiply(x, x, out=wider, dtype=dtype)
        _root_of_mean(wider, op, root)
        cupy.divide(x, root, out=wider)
        cupy.multiply(wider, weight, out=y)
        return y

    return call


@implements("batch_norm", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
@implements("group_norm", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
@implements("instance_norm", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
@implements("layer_norm", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
@implements("rms_norm", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def backward(problem: Problem, x: Tensor, dy: Tensor, weight: Tensor, *running: Tensor) -> Call:
    """The standardised x again, the weight's gradients, and what the group's statistics take off dy · weight.

    Not in training the statistics are given and take nothing off. What is between is in float32 at least.
    """
    op, dtype = _norm(problem.op), wide(problem.dtype)
    folding = op.folding
    folded, given, gain = x.reshape(folding.shape), dy.reshape(folding.shape), weight.reshape(folding.weights)
    mean, scale = _kept(op, dtype, x, dy, weight, *running)
    standard, products, gradient = (cupy.empty(folding.shape, dtype) for _ in range(3))
    outputs = outputs_of(problem)
    dx = outputs[0].reshape(folding.shape)
    sums = [(_unshared(cupy.empty(op.weight_shape, dtype), op), _unshared(one, op)) for one in outputs[1:]]
    along, middle = _statistic(op, dtype), _statistic(op, dtype)
    trained = not isinstance(op, BatchNorm) or op.training

    def weights() -> None:
        cupy.multiply(given, standard, out=products)
        for (wider, out), summed in zip(sums, (products, given), strict=False):
            cupy.sum(summed, axis=folding.shared, keepdims=True, dtype=dtype, out=wider)
            cupy.copyto(out, wider)

    def less_statistics() -> None:
        cupy.multiply(gradient, standard, out=products)
        cupy.sum(products, axis=folding.axes, keepdims=True, out=along)
        cupy.divide(along, folding.members, out=along)
        if op.centred:
            cupy.sum(gradient, axis=folding.axes, keepdims=True, out=middle)
            cupy.divide(middle, folding.members, out=middle)
            cupy.subtract(gradient, middle, out=gradient)
        cupy.multiply(standard, along, out=products)
        cupy.subtract(gradient, products, out=gradient)

    def call() -> tuple[Tensor, ...]:
        cupy.subtract(folded, mean, out=standard)
        cupy.multiply(standard, scale, out=standard)
        weights()
        cupy.multiply(given, gain, out=gradient, dtype=dtype)
        if trained:
            less_statistics()
        cupy.multiply(gradient, scale, out=dx)
        return outputs

    return call


def _kept(op: Norm, dtype: str, *given: Tensor) -> tuple[Tensor, Tensor]:
    """Return each group's mean and 1 / std, as the forward pass has kept them."""
    on_host = (np.asarray(cupy.asnumpy(one), np.float64) for one in given)
    mean, scale = op.statistics(dict(zip(op.inputs("backward"), on_host, strict=True)))
    return cupy.asarray(mean.astype(dtype)), cupy.asarray(scale.astype(dtype))


def _unshared(weight: Tensor, op: Norm) -> Tensor:
    """Return a view of a weight in as many axes as the folded input has."""
    shared, shape = op.folding.shared, op.folding.shape
    return weight.reshape([1 if axis in shared else shape[axis] for axis in range(len(shape))])


class _Neighbours:
    """Sums over neighbouring channels, through views of a buffer that has zeros before and after the channels."""

    def __init__(self, op: LocalResponseNorm, dtype: str, before: int, after: int) -> None:
        around = cupy.empty((op.n, op.c + before + after, op.h, op.w), dtype)
        around.fill(0)
        self.middle = around[:, before : before + op.c]
        """Where what is summed is written to."""
        self._shifted = [around[:, at : at + op.c] for at in range(before + after + 1)]

    def sum(self, out: Tensor) -> None:
        """Write the sums."""
        cupy.copyto(out, self._shifted[0])
        for one in self._shifted[1:]:
            cupy.add(out, one, out=out)


@implements("local_response_norm", variant="library", dtypes=LIBRARY_DTYPES)
def local_response_norm(problem: Problem, x: Tensor) -> Call:
    """The squares between zeros, the sum of their shifted views, and the division by its power, in float32 at least."""
    op, dtype = _response(problem.op), wide(problem.dtype)
    squares, y = _Neighbours(op, dtype, *op.neighbours), cupy.empty(op.x_shape, x.dtype)
    total = cupy.empty(op.x_shape, dtype)

    def call() -> Tensor:
        cupy.multiply(x, x, out=squares.middle, dtype=dtype)
        squares.sum(total)
        cupy.multiply(total, op.rate, out=total)
        cupy.add(total, op.k, out=total)
        cupy.power(total, -op.beta, out=total)
        cupy.multiply(total, x, out=y)
        return y

    return call


@implements("local_response_norm", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def local_response_norm_backward(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dy over the kept denominators' powers, less what each pixel has of its neighbours' sums, in float32 at least."""
    op, dtype = _response(problem.op), wide(problem.dtype)
    denominators = cupy.asarray(op.denominators(cupy.asnumpy(x)).astype(dtype))
    before, after = op.neighbours
    shares = _Neighbours(op, dtype, after, before)
    gradient, total = (cupy.empty(op.x_shape, dtype) for _ in range(2))
    dx, factor = cupy.empty(op.x_shape, x.dtype), 2 * op.rate * op.beta

    def call() -> Tensor:
        cupy.power(denominators, -op.beta, out=gradient)
        cupy.multiply(gradient, dy, out=gradient)
        cupy.multiply(gradient, x, out=shares.middle)
        cupy.divide(shares.middle, denominators, out=shares.middle)
        shares.sum(total)
        cupy.multiply(total, x, out=total)
        cupy.multiply(total, factor, out=total)
        cupy.subtract(gradient, total, out=dx)
        return dx

    return call


def _response(op: Op) -> LocalResponseNorm:
    if not isinstance(op, LocalResponseNorm):
        raise TypeError(f"not a local response normalisation: {op!r}")
    return op
