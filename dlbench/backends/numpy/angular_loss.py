"""The softmax loss of angles by BLAS and array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numpy.classification_loss import Places, cross_entropy_call, softmax_less_label_call
from dlbench.ops.angular_loss import psi, psi_slope
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


class _Angles:
    """The logits of all features in memory, and what they are made of; its buffers are made once."""

    def __init__(self, x: Tensor, w: Tensor, labels: Tensor) -> None:
        self._x, self._w, self._labels = x, w, labels
        self.norms = np.empty((w.shape[0], 1), w.dtype)
        self.units = np.empty_like(w)
        self.lengths = np.empty(x.shape[0], x.dtype)
        self.logits = np.empty((x.shape[0], w.shape[0]), x.dtype)
        self._places = Places(self.logits.shape, x.dtype)

    def measure(self) -> Tensor:
        """Compute all of them, the labels' logits with psi; return the labels' cosines."""
        np.einsum("jd,jd->j", self._w, self._w, out=self.norms[:, 0])
        np.sqrt(self.norms, out=self.norms)
        np.divide(self._w, self.norms, out=self.units)
        np.einsum("nd,nd->n", self._x, self._x, out=self.lengths)
        np.sqrt(self.lengths, out=self.lengths)
        np.matmul(self._x, self.units.T, out=self.logits)
        cosines = self._places.taken(self.logits, self._labels) / self.lengths
        self.logits.reshape(-1)[self._places.of(self._labels)] = self.lengths * psi(cosines)
        return cosines

    def turn(self, cosines: Tensor) -> Tensor:
        """Make of the logits' gradients those of the products; return what is left of each along its feature."""
        of_labels, slopes = self._places.taken(self.logits, self._labels), psi_slope(cosines)
        along = of_labels * (psi(cosines) - slopes * cosines) / self.lengths
        self.logits.reshape(-1)[self._places.of(self._labels)] = of_labels * slopes
        return along


@implements("angular_softmax", variant="library")
def angular_softmax(problem: Problem, x: Tensor, w: Tensor, labels: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """One product by BLAS, the labels' logits replaced, and their cross-entropy."""
    angles = _Angles(x, w, labels)
    compare = cross_entropy_call(angles.logits, labels, angles.logits)

    def call() -> Tensor:
        angles.measure()
        loss: Tensor = compare()
        return loss

    return call


@implements("angular_softmax", variant="library", directions=("backward",))
def angular_softmax_backward(problem: Problem, x: Tensor, w: Tensor, labels: Tensor, dloss: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """That product again, the softmax in its place, and two more products by BLAS."""
    angles, dx, dw = _Angles(x, w, labels), np.empty_like(x), np.empty_like(w)
    differentiate = softmax_less_label_call(angles.logits, labels, dloss, angles.logits)
    radial, part = np.empty_like(angles.norms), np.empty_like(x)

    def call() -> tuple[Tensor, Tensor]:
        cosines = angles.measure()
        differentiate()
        along = angles.turn(cosines)
        np.matmul(angles.logits, angles.units, out=dx)
        np.add(dx, np.multiply(x, along[:, None], out=part), out=dx)
        np.matmul(angles.logits.T, x, out=dw)
        np.einsum("jd,jd->j", dw, angles.units, out=radial[:, 0])
        np.multiply(angles.units, radial, out=angles.units)
        np.subtract(dw, angles.units, out=dw)
        return dx, np.divide(dw, angles.norms, out=dw)

    return call
