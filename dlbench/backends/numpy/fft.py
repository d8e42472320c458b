"""Convolution as a product of spectra (M. Mathieu, M. Henaff & Y. LeCun, Fast Training of Convolutional Networks through
FFTs, 2014), by scipy.fft.

The three tensors lie in the space of the padded input: the filter's taps a dilation apart, the outputs a stride apart.
The spectrum of each is that of the other two's product, conjugate where it is a correlation; and no sum goes
around the end, since every place and tap lies within that space.

A transform of N points errs by about u sqrt(log2 N) of its norm (N. Higham, Accuracy and Stability of Numerical
Algorithms, 2nd ed., chapter 24), which comes to each output alike: of the order of a sum's error, and at worst half of
what is tolerated on ragged shapes and layers like ResNet-50's. Only where the windows meet little but padding are the
outputs too small beside their operands for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numpy.columns import Tensor
from dlbench.ops.conv_base import Convolution
from dlbench.ops.conv_geometry import Geometry, Index
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


class _Space:
    """The padded input's space, its sides lengthened to products of small primes.

    In memory its axes come first: a product of spectra is then one of matrices for each frequency.
    """

    def __init__(self, conv: Geometry, dtype: np.dtype[Any]) -> None:
        from scipy.fft import irfftn, next_fast_len, rfftn  # a worker of other cases does not wait for it

        self._transform, self._back = rfftn, irfftn
        self._sizes = tuple(next_fast_len(size, real=True) for size in conv.padded)
        self._axes = tuple(range(len(self._sizes)))
        self._dtype = dtype

    def signal(self, tensor: Tensor, at: Index) -> _Signal:
        """Return where a tensor, groups × rows × columns × space, is placed and transformed."""
        whole = np.zeros((*self._sizes, *tensor.shape[:3]), self._dtype)
        return _Signal(tensor, whole, self._space_last(whole)[at], partial(self._transform, axes=self._axes))

    def back(self, spectrum: Tensor, at: Index) -> Tensor:
        """Return what a spectrum, frequencies × groups × rows × columns, is of, as groups × rows × columns × space."""
        return self._space_last(self._back(spectrum, self._sizes, self._axes))[at]

    def _space_last(self, whole: Tensor) -> Tensor:
        return np.moveaxis(whole, self._axes, range(-len(self._axes), 0))


class _Signal:
    """A tensor amid zeros."""

    def __init__(
        self, tensor: Tensor, whole: Tensor, place: Tensor, transform: Callable[[Tensor], Tensor]
    ) -> None:
        self._tensor, self._whole, self._place, self._transform = tensor, whole, place, transform

    def spectrum(self) -> Tensor:
        """Place the tensor's values and transform them."""
        np.copyto(self._place, self._tensor)
        return self._transform(self._whole)


def _images(conv: Geometry, tensor: Tensor) -> Tensor:
    """Return a view of n × channels × space as groups × channels × n × space."""
    by_group = tensor.reshape(conv.n, conv.groups, -1, *tensor.shape[2:])
    return np.moveaxis(by_group, 0, 2)


def _filters(conv: Geometry, w: Tensor) -> Tensor:
    """Return a view of the filters as groups × k/groups × c/groups × window."""
    return w.reshape(conv.groups, -1, *w.shape[1:])


def _geometry(problem: Problem) -> Geometry:
    op = problem.op
    if not isinstance(op, Convolution):
        raise TypeError(f"not a convolution: {op!r}")
    return op.geometry


@implements("conv1d", variant="fft")
@implements("conv2d", variant="fft")
@implements("conv3d", variant="fft")
def forward(problem: Problem, x: Tensor, w: Tensor) -> Call:
    """y is the correlation of x with the filters."""
    conv = _geometry(problem)
    space = _Space(conv, x.dtype)
    given, filters = space.signal(_images(conv, x), conv.inner), space.signal(_filters(conv, w), conv.tapped)
    y = np.empty(conv.y_shape, x.dtype)
    out = _images(conv, y)

    def call() -> Tensor:
        product = np.matmul(filters.spectrum().conj(), given.spectrum())
        np.copyto(out, space.back(product, conv.placed))
        return y

    return call


@implements("conv1d", variant="fft", directions=("backward_data",))
@implements("conv2d", variant="fft", directions=("backward_data",))
@implements("conv3d", variant="fft", directions=("backward_data",))
def backward_data(problem: Problem, dy: Tensor, w: Tensor) -> Call:
    """dx is the convolution proper of dy with the filters."""
    conv = _geometry(problem)
    space = _Space(conv, dy.dtype)
    given, filters = (
        space.signal(_images(conv, dy), conv.placed),
        space.signal(_filters(conv, w), conv.tapped),
    )
    dx = np.empty(conv.x_shape, dy.dtype)
    out = _images(conv, dx)

    def call() -> Tensor:
        product = np.matmul(filters.spectrum().swapaxes(-1, -2), given.spectrum())
        np.copyto(out, space.back(product, conv.inner))
        return dx

    return call


@implements("conv1d", variant="fft", directions=("backward_weight",))
@implements("conv2d", variant="fft", directions=("backward_weight",))
@implements("conv3d", variant="fft", directions=("backward_weight",))
def backward_weight(problem: Problem, x: Tensor, dy: Tensor) -> Call:
    """dw is the correlation of x with dy, summed over the images."""
    conv = _geometry(problem)
    space = _Space(conv, x.dtype)
    given, ahead = space.signal(_images(conv, x), conv.inner), space.signal(_images(conv, dy), conv.placed)
    dw = np.empty(conv.w_shape, x.dtype)
    out = _filters(conv, dw)

    def call() -> Tensor:
        product = np.matmul(ahead.spectrum().conj(), given.spectrum().swapaxes(-1, -2))
        np.copyto(out, space.back(product, conv.tapped))
        return dw

    return call
