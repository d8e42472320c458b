"""The softmax loss of angles by products of cuBLAS and array operations."""

from __future__ import annotations

from typing import Any

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.classification_loss import (
    cross_entropy_call,
    cross_entropy_gradient_call,
    picker,
)
from dlbench.backends.cupy.expression import kernel
from dlbench.backends.cupy.matmul import LIBRARY_DTYPES, Product, product_call
from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.backends.cupy.softmax import wide
from dlbench.ops.angular_loss import TURNS
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

SIGN = "(1 - 2 * (k % 2))"


def _lengths(x: Tensor, number: str) -> tuple[Tensor, Call]:
    """Return an array of the rows' lengths, and what writes them."""
    square = kernel("square", "x * x", f"{number} y", f"{x.dtype} x")
    squares, lengths = cupy.empty(x.shape, number), cupy.empty((x.shape[0], 1), number)

    def measure() -> Tensor:
        square(x, squares)
        cupy.sum(squares, axis=1, keepdims=True, out=lengths)
        return cupy.sqrt(lengths, out=lengths)

    return lengths, measure


class _Angles:
    """What both directions compute first: unit weights, logits, and the labels' cosines with psi and its slope."""

    def __init__(self, dtype: str, x: Tensor, w: Tensor, labels: Tensor) -> None:
        number, (n, dim), classes = wide(dtype), x.shape, w.shape[0]
        self._w, self.columns, self.label = w, cupy.arange(classes), labels.reshape(-1, 1)
        self.lengths, self._measure = _lengths(x, number)
        self.norms, self._measure_weights = _lengths(w, number)
        self.units, logits = cupy.empty_like(w), cupy.empty((n, classes), x.dtype)
        self._multiply = product_call(Product(n, classes, dim, trans_b=True), dtype, x, self.units, logits)
        self._own, self._pick = picker(logits, labels)
        self.cosines, self.psi, self.slope = (cupy.empty((n, 1), number) for _ in range(3))
        self._piece = cupy.empty((n, 1), "int64")
        self._products, self.logits = logits, cupy.empty(logits.shape, number)
        self._kernels = _kernels(number, str(x.dtype))

    def measure(self) -> None:
        """Compute all of them."""
        divide, locate, turn, incline, replace = self._kernels
        self._measure()
        divide(self._w, self._measure_weights(), self.units)
        self._multiply()
        self._pick()
        cupy.divide(self._own, self.lengths, out=self.cosines)
        locate(self.cosines, *TURNS, self._piece)
        turn(self.cosines, self._piece, self.psi)
        incline(self.cosines, self._piece, self.slope)
        replace(self._products, self.lengths, self.psi, self.columns, self.label, self.logits)


def _kernels(number: str, dtype: str) -> tuple[Any, ...]:
    """Return what makes unit weights, the pieces of psi, psi, its slope, and the logits of the products."""
    turns = [f"{number} {name}" for name in ("first", "second", "third")]
    return (
        kernel("unit_weights", "w / norm", f"{dtype} y", f"{dtype} w", f"{number} norm"),
        kernel("piece", "1 * (c < first) + (c < second) + (c < third)", "int64 k", f"{number} c", *turns),
        kernel(
            "psi", f"{SIGN} * (8 * c * c * (c * c - 1) + 1) - 2 * k", f"{number} y", f"{number} c", "int64 k"
        ),
        kernel("psi_slope", f"{SIGN} * 16 * c * (2 * c * c - 1)", f"{number} y", f"{number} c", "int64 k"),
        kernel(
            "logits",
            "x + (column == label) * (length * psi - x)",
            f"{number} y",
            *(f"{dtype} x", f"{number} length", f"{number} psi", "int64 column", "int64 label"),
        ),
    )


@implements("angular_softmax", variant="library", dtypes=LIBRARY_DTYPES)
def angular_softmax(problem: Problem, x: Tensor, w: Tensor, labels: Tensor) -> Call:
    """One product, the labels' logits replaced, and their cross-entropy."""
    angles = _Angles(problem.dtype, x, w, labels)
    compare = cross_entropy_call(wide(problem.dtype), angles.logits, labels, only(outputs_of(problem)))

    def call() -> Tensor:
        angles.measure()
        return compare()

    return call


@implements("angular_softmax", variant="library", directions=("backward",), dtypes=LIBRARY_DTYPES)
def angular_softmax_backward(problem: Problem, x: Tensor, w: Tensor, labels: Tensor, dloss: Tensor) -> Call:
    """That product again, the gradient of its cross-entropy, and two more products."""
    dtype, number, (n, dim), classes = problem.dtype, wide(problem.dtype), x.shape, w.shape[0]
    stored, angles, (dx, dw) = str(x.dtype), _Angles(problem.dtype, x, w, labels), outputs_of(problem)
    slopes = cupy.empty((n, classes), x.dtype)
    differentiate = cross_entropy_gradient_call(number, angles.logits, labels, dloss, slopes)
    own, pick = picker(slopes, labels)
    to_features = product_call(Product(n, dim, classes), dtype, slopes, angles.units, dx)
    to_weights = product_call(Product(classes, dim, n, trans_a=True), dtype, slopes, x, dw)
    turn, lengthen, project = _backward_kernels(number, stored)
    parts, radial = cupy.empty(w.shape, number), cupy.empty((classes, 1), number)

    def call() -> tuple[Tensor, Tensor]:
        angles.measure()
        differentiate()
        pick()
        turn(slopes, angles.slope, angles.columns, angles.label, slopes)
        to_features()
        lengthen(dx, x, own, angles.psi, angles.slope, angles.cosines, angles.lengths, dx)
        to_weights()
        cupy.multiply(dw, angles.units, out=parts, dtype=number)
        cupy.sum(parts, axis=1, keepdims=True, out=radial)
        project(dw, radial, angles.units, angles.norms, dw)
        return dx, dw

    return call


def _backward_kernels(number: str, dtype: str) -> tuple[Any, ...]:
    """Return what turns the labels' gradients, adds what is left along the features, and projects the weights'."""
    return (
        kernel(
            "turned_gradients",
            "g * (1 + (column == label) * (slope - 1))",
            f"{dtype} y",
            *(f"{dtype} g", f"{number} slope", "int64 column", "int64 label"),
        ),
        kernel(
            "feature_gradients",
            "dx + own * (psi - slope * c) / length * x",
            f"{dtype} y",
            *(f"{dtype} dx", f"{dtype} x", f"{dtype} own"),
            *(f"{number} {name}" for name in ("psi", "slope", "c", "length")),
        ),
        kernel(
            "weight_gradients",
            "(dw - radial * unit) / norm",
            f"{dtype} y",
            *(f"{dtype} dw", f"{number} radial", f"{dtype} unit", f"{number} norm"),
        ),
    )
