"""Losses of distances as array operations."""

from __future__ import annotations

from collections.abc import Callable

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.expression import kernel
from dlbench.backends.cupy.loss import mean_call
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.backends.cupy.softmax import LIBRARY_DTYPES, wide
from dlbench.ops.metric_loss import EPSILON, ContrastiveLoss, TripletLoss
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

BACKWARD: tuple[Direction, ...] = ("backward",)


def _margin(problem: Problem) -> float:
    op = problem.op
    if not isinstance(op, ContrastiveLoss | TripletLoss):
        raise TypeError(f"not a loss with a margin: {op!r}")
    return op.margin


def _measure(dtype: str, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Callable[[], None]]:
    """Return arrays of a - b + 1e-6, n × dim, and of its lengths, n × 1, and what writes them."""
    number = wide(dtype)
    differ = kernel(
        "difference", "a - b + epsilon", f"{number} y", f"{dtype} a", f"{dtype} b", f"{number} epsilon"
    )
    difference, squares = (cupy.empty(a.shape, number) for _ in range(2))
    distance = cupy.empty((a.shape[0], 1), number)

    def measure() -> None:
        differ(a, b, EPSILON, difference)
        cupy.multiply(difference, difference, out=squares)
        cupy.sum(squares, axis=1, keepdims=True, out=distance)
        cupy.sqrt(distance, out=distance)

    return difference, distance, measure


@implements("contrastive_loss", variant="library", dtypes=LIBRARY_DTYPES)
def contrastive_loss(problem: Problem, a: Tensor, b: Tensor, similar: Tensor) -> Call:
    """The distances, each pair's term by one kernel, and their sum."""
    number, margin, alike = wide(problem.dtype), _margin(problem), similar.reshape(-1, 1)
    compute = kernel(
        "contrastive_loss_terms",
        "similar * d * d + (1 - similar) * (margin > d) * (margin - d) * (margin - d)",
        f"{number} term",
        *(f"{number} d", "bool similar", f"{number} margin"),
    )
    _, distance, measure = _measure(problem.dtype, a, b)
    terms = cupy.empty(distance.shape, number)
    average = mean_call(terms, only(outputs_of(problem)), a.shape[0])

    def call() -> Tensor:
        measure()
        compute(distance, alike, margin, terms)
        return average()

    return call


@implements("contrastive_loss", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def contrastive_loss_backward(problem: Problem, a: Tensor, b: Tensor, similar: Tensor, dloss: Tensor) -> Call:
    """The differences, each pair's times its factor."""
    dtype, number, margin = problem.dtype, wide(problem.dtype), _margin(problem)
    weigh = kernel(
        "contrastive_loss_factor",
        "(similar - (1 - similar) * (margin > d) * (margin - d) / d) * dloss * share",
        f"{number} factor",
        *(f"{number} d", "bool similar", f"{number} margin", f"{dtype} dloss", f"{number} share"),
    )
    difference, distance, measure = _measure(dtype, a, b)
    alike, share, (da, db) = similar.reshape(-1, 1), 2 / a.shape[0], outputs_of(problem)

    def call() -> tuple[Tensor, Tensor]:
        measure()
        weigh(distance, alike, margin, dloss, share, distance)
        cupy.multiply(difference, distance, out=da)
        cupy.multiply(da, -1, out=db)
        return da, db

    return call


@implements("triplet_loss", variant="library", dtypes=LIBRARY_DTYPES)
def triplet_loss(problem: Problem, anchor: Tensor, positive: Tensor, negative: Tensor) -> Call:
    """Both distances, each triplet's term by one kernel, and their sum."""
    number, margin = wide(problem.dtype), _margin(problem)
    compute = kernel(
        "triplet_loss_terms",
        "(close - far + margin > 0) * (close - far + margin)",
        f"{number} term",
        *(f"{number} close", f"{number} far", f"{number} margin"),
    )
    _, close, measure_positive = _measure(problem.dtype, anchor, positive)
    _, far, measure_negative = _measure(problem.dtype, anchor, negative)
    terms = cupy.empty(close.shape, number)
    average = mean_call(terms, only(outputs_of(problem)), anchor.shape[0])

    def call() -> Tensor:
        measure_positive()
        measure_negative()
        compute(close, far, margin, terms)
        return average()

    return call


@implements("triplet_loss", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def triplet_loss_backward(
    problem: Problem, anchor: Tensor, positive: Tensor, negative: Tensor, dloss: Tensor
) -> Call:
    """The differences, each over its distance, where the margin is not kept."""
    dtype, number, margin = problem.dtype, wide(problem.dtype), _margin(problem)
    count = kernel(
        "triplet_loss_share",
        "(close - far + margin > 0) * dloss * share",
        f"{number} y",
        *(f"{number} close", f"{number} far", f"{number} margin", f"{dtype} dloss", f"{number} share"),
    )
    scale = kernel(
        "triplet_loss_backward",
        "sign * weight / d * difference",
        f"{dtype} dx",
        *(f"{number} sign", f"{number} weight", f"{number} d", f"{number} difference"),
    )
    to_positive, close, measure_positive = _measure(dtype, anchor, positive)
    to_negative, far, measure_negative = _measure(dtype, anchor, negative)
    weight, share = cupy.empty(close.shape, number), 1 / anchor.shape[0]
    danchor, dpositive, dnegative = outputs_of(problem)

    def call() -> tuple[Tensor, Tensor, Tensor]:
        measure_positive()
        measure_negative()
        count(close, far, margin, dloss, share, weight)
        scale(-1.0, weight, close, to_positive, dpositive)
        scale(1.0, weight, far, to_negative, dnegative)
        cupy.add(dpositive, dnegative, out=danchor)
        cupy.multiply(danchor, -1, out=danchor)
        return danchor, dpositive, dnegative

    return call


@implements("center_loss", variant="library", dtypes=LIBRARY_DTYPES)
def center_loss(problem: Problem, x: Tensor, labels: Tensor, centers: Tensor) -> Call:
    """The labels' centers, the squares of the differences from them, and their sum."""
    dtype, number = problem.dtype, wide(problem.dtype)
    compute = kernel(
        "center_loss_terms", "(x - own) * (x - own)", f"{number} term", f"{dtype} x", f"{dtype} own"
    )
    own, terms = cupy.empty_like(x), cupy.empty(x.shape, number)
    average = mean_call(terms, only(outputs_of(problem)), 2 * x.shape[0])

    def call() -> Tensor:
        cupy.take(centers, labels, axis=0, out=own)
        compute(x, own, terms)
        return average()

    return call


@implements("center_loss", variant="library", directions=BACKWARD, dtypes=LIBRARY_DTYPES)
def center_loss_backward(problem: Problem, x: Tensor, labels: Tensor, centers: Tensor, dloss: Tensor) -> Call:
    """The differences, and their sums by cupy.add.at, which adds atomically, in any order; float16 in float32."""
    dtype, number = problem.dtype, wide(problem.dtype)
    differ = kernel(
        "center_loss_backward",
        "(own - x) * dloss * share",
        f"{number} y",
        *(f"{dtype} x", f"{dtype} own", f"{dtype} dloss", f"{number} share"),
    )
    own, towards, sums = cupy.empty_like(x), cupy.empty(x.shape, number), cupy.empty(centers.shape, number)
    (dx, dcenters), share = outputs_of(problem), 1 / x.shape[0]

    def call() -> tuple[Tensor, Tensor]:
        cupy.take(centers, labels, axis=0, out=own)
        differ(x, own, dloss, share, towards)
        sums.fill(0)
        cupy.add.at(sums, labels, towards)
        cupy.multiply(towards, -1, out=dx)
        cupy.copyto(dcenters, sums)
        return dx, dcenters

    return call
