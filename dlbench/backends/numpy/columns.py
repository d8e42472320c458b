"""The columns of a convolution: for each place of the window, what it meets, gathered from the padded image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dlbench.ops.conv_geometry import Geometry, Index

Tensor = np.ndarray[Any, np.dtype[Any]]
AXES = 4
"""Those of a tensor that has a layout: images, channels, rows and columns."""


def views_of(conv: Geometry, around: Tensor) -> Tensor:
    """Return padded images, … × padded extents, as … × window × places: what each tap meets, without a copy."""
    axes = len(conv.window)
    space = tuple(range(around.ndim - axes, around.ndim))
    windows = sliding_window_view(around, conv.reach, axis=space, writeable=True)
    placed: Index = (*conv.placed, *(slice(None, None, conv.dilation),) * axes)
    return np.moveaxis(windows[placed], space, range(-axes, 0))


def pairs_of(conv: Geometry, views: Tensor, by_tap: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Return, for each tap, what it meets and its entries in the columns, of two arrays … × … × window × places."""
    every = slice(None)
    return [(views[every, every, *at], by_tap[every, every, *at]) for at in np.ndindex(conv.window)]


def is_channels_last(tensor: Tensor) -> bool:
    """Return whether the second axis is the last in memory, where that differs from the axes' own order."""
    return not tensor.flags.c_contiguous and np.moveaxis(tensor, 1, -1).flags.c_contiguous


def channels_last(tensor: Tensor) -> Tensor:
    """Return a copy whose second axis is the last in memory."""
    return np.moveaxis(np.array(np.moveaxis(tensor, 1, -1), order="C"), -1, 1)


def empty(shape: tuple[int, ...], dtype: np.dtype[Any], *, last: bool) -> Tensor:
    """Return a new array, its second axis the last in memory if so asked."""
    if not last:
        return np.empty(shape, dtype)
    first, second, *rest = shape
    return np.moveaxis(np.empty((first, *rest, second), dtype), -1, 1)


class Columns:
    """The buffers of one convolution: the padded image and its columns, groups × rows × places.

    A row is a channel of the group at a tap of the window: tap by tap within a channel or, where the channels are last
    in memory, channel by channel within a tap.
    """

    def __init__(self, conv: Geometry, dtype: np.dtype[Any], *, last: bool = False) -> None:
        """Take the shapes, the dtype and whether the channels are last in memory."""
        groups, size, axes = conv.groups, conv.c // conv.groups, len(conv.window)
        if last:
            self._padded = np.zeros((*conv.padded, groups, size), dtype)
            columns = np.empty((groups, *conv.places, *conv.window, size), dtype)
            around = np.moveaxis(self._padded, (-2, -1), (0, 1))
            by_tap = np.moveaxis(columns, range(1, 1 + axes), range(-axes, 0))
            self._by_tap = np.moveaxis(by_tap, 1 + axes, 1)
            self._matrix = columns.reshape(groups, conv.positions, -1).swapaxes(1, 2)
        else:
            self._padded = around = np.zeros((groups, size, *conv.padded), dtype)
            self._by_tap = np.empty((groups, size, *conv.window, *conv.places), dtype)
            self._matrix = self._by_tap.reshape(groups, -1, conv.positions)
        self._inner = around[conv.inner]
        self._views = views_of(conv, around)
        self._taps = pairs_of(conv, self._views, self._by_tap)

    def gather(self, image: Tensor) -> Tensor:
        """Return the columns of one image, c × extents."""
        self._inner[...] = image.reshape(self._inner.shape)
        np.copyto(self._by_tap, self._views)
        return self._matrix

    def room(self, image: Tensor) -> Tensor:  # noqa: ARG002 - the columns stand apart from the image
        """Return where the columns of an image's gradient are to be written."""
        return self._matrix

    def scatter(self, image: Tensor) -> None:
        """Add the columns back to where they were gathered, into the image."""
        self._padded.fill(0)
        for place, entries in self._taps:  # windows overlap; the pixels of one tap do not
            np.add(place, entries, out=place)
        np.copyto(image.reshape(self._inner.shape), self._inner)


class Pixels:
    """A window of one tap at every place without padding: the image is its own columns and nothing is gathered."""

    def __init__(self, conv: Geometry) -> None:
        """Take the shapes."""
        self._shape = (conv.groups, conv.c // conv.groups, conv.positions)

    def gather(self, image: Tensor) -> Tensor:
        """Return the image as columns."""
        return image.reshape(self._shape)

    def room(self, image: Tensor) -> Tensor:
        """Return the image as columns."""
        return image.reshape(self._shape)

    def scatter(self, image: Tensor) -> None:
        """Do nothing: the columns were written into the image."""


def columns_of(conv: Geometry, dtype: np.dtype[Any], *, last: bool = False) -> Columns | Pixels:
    """Return where the columns of a convolution's images come from."""
    if conv.taps == 1 and not any(conv.pads) and conv.places == conv.extents:
        return Pixels(conv)
    return Columns(conv, dtype, last=last)
