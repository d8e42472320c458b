"""Convolution as a product of spectra (M. Mathieu, M. Henaff & Y. LeCun, Fast Training of Convolutional Networks through
FFTs, 2014), by torch.fft.

The three tensors lie in the space of the padded input: the filter's taps a dilation apart, the outputs a stride apart.
The spectrum of each is that of the other two's product, conjugate where it is a correlation; and no sum goes
around the end, since every place and tap lies within that space. Where the windows meet little but padding, the
outputs are too small beside their operands for the error of a transform, which is in proportion to its norm.
"""

from __future__ import annotations

import torch

from dlbench.backends.backend import implements
from dlbench.ops.conv_base import Convolution
from dlbench.ops.conv_geometry import Geometry, Index
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


class _Space:
    """The padded input's space, its sides lengthened to products of small primes.

    In memory its axes come first: a product of spectra is then one of matrices for each frequency.
    """

    def __init__(self, conv: Geometry, like: torch.Tensor) -> None:
        from scipy.fft import next_fast_len  # a worker of other cases does not wait for it

        self._sizes = tuple(next_fast_len(size, real=True) for size in conv.padded)
        self._axes = tuple(range(len(self._sizes)))
        self._like = like

    def signal(self, tensor: torch.Tensor, at: Index) -> _Signal:
        """Return where a tensor, groups × rows × columns × space, is placed and transformed."""
        whole = self._like.new_zeros((*self._sizes, *tensor.shape[:3]))
        return _Signal(tensor, whole, self._space_last(whole)[at], self._axes)

    def back(self, spectrum: torch.Tensor, at: Index) -> torch.Tensor:
        """Return what a spectrum, frequencies × groups × rows × columns, is of, as groups × rows × columns × space."""
        place: torch.Tensor = self._space_last(torch.fft.irfftn(spectrum, self._sizes, self._axes))[at]
        return place

    def _space_last(self, whole: torch.Tensor) -> torch.Tensor:
        turned: torch.Tensor = whole.movedim(self._axes, tuple(range(-len(self._axes), 0)))
        return turned


class _Signal:
    """A tensor amid zeros."""

    def __init__(
        self, tensor: torch.Tensor, whole: torch.Tensor, place: torch.Tensor, axes: tuple[int, ...]
    ) -> None:
        self._tensor, self._whole, self._place, self._axes = tensor, whole, place, axes

    def spectrum(self) -> torch.Tensor:
        """Place the tensor's values and transform them."""
        self._place.copy_(self._tensor)
        found: torch.Tensor = torch.fft.rfftn(self._whole, dim=self._axes)
        return found


def _images(conv: Geometry, tensor: torch.Tensor) -> torch.Tensor:
    """Return a view of n × channels × space as groups × channels × n × space."""
    by_group = tensor.view(conv.n, conv.groups, -1, *tensor.shape[2:])
    return by_group.movedim(0, 2)


def _filters(conv: Geometry, w: torch.Tensor) -> torch.Tensor:
    """Return a view of the filters as groups × k/groups × c/groups × window."""
    return w.view(conv.groups, -1, *w.shape[1:])


def _geometry(problem: Problem) -> Geometry:
    op = problem.op
    if not isinstance(op, Convolution):
        raise TypeError(f"not a convolution: {op!r}")
    return op.geometry


@implements("conv1d", variant="fft")
@implements("conv2d", variant="fft")
@implements("conv3d", variant="fft")
def forward(problem: Problem, x: torch.Tensor, w: torch.Tensor) -> Call:
    """y is the correlation of x with the filters."""
    conv = _geometry(problem)
    space = _Space(conv, x)
    given, filters = space.signal(_images(conv, x), conv.inner), space.signal(_filters(conv, w), conv.tapped)
    y = x.new_empty(conv.y_shape)
    out = _images(conv, y)

    def call() -> torch.Tensor:
        product = torch.matmul(filters.spectrum().conj(), given.spectrum())
        out.copy_(space.back(product, conv.placed))
        return y

    return call


@implements("conv1d", variant="fft", directions=("backward_data",))
@implements("conv2d", variant="fft", directions=("backward_data",))
@implements("conv3d", variant="fft", directions=("backward_data",))
def backward_data(problem: Problem, dy: torch.Tensor, w: torch.Tensor) -> Call:
    """dx is the convolution proper of dy with the filters."""
    conv = _geometry(problem)
    space = _Space(conv, dy)
    given, filters = (
        space.signal(_images(conv, dy), conv.placed),
        space.signal(_filters(conv, w), conv.tapped),
    )
    dx = dy.new_empty(conv.x_shape)
    out = _images(conv, dx)

    def call() -> torch.Tensor:
        product = torch.matmul(filters.spectrum().mT, given.spectrum())
        out.copy_(space.back(product, conv.inner))
        return dx

    return call


@implements("conv1d", variant="fft", directions=("backward_weight",))
@implements("conv2d", variant="fft", directions=("backward_weight",))
@implements("conv3d", variant="fft", directions=("backward_weight",))
def backward_weight(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:
    """dw is the correlation of x with dy, summed over the images."""
    conv = _geometry(problem)
    space = _Space(conv, x)
    given, ahead = space.signal(_images(conv, x), conv.inner), space.signal(_images(conv, dy), conv.placed)
    dw = x.new_empty(conv.w_shape)
    out = _filters(conv, dw)

    def call() -> torch.Tensor:
        product = torch.matmul(ahead.spectrum().conj(), given.spectrum().mT)
        out.copy_(space.back(product, conv.tapped))
        return dw

    return call
