"""The windows of a pooling: where they lie on an image, and what is made of them in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dlbench.ops.dtypes import Array

Span = tuple[int, int]
"""The first place of a window along one axis, and the one after its last."""
Positions = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Windows:
    """The rows and the columns of an image that each window covers; what lies in the padding is left out.

    Window i, j covers rows[i] of the rows and columns[j] of the columns, and both are never empty. What is done to a
    window is therefore done along the rows first, and then along the columns.
    """

    rows: tuple[Span, ...]
    columns: tuple[Span, ...]

    def reduced(self, x: Array, reduction: Callable[..., Array]) -> Array:
        """Return the largest or the sum of each window of images … × h × w: `reduction` is numpy.max or numpy.sum."""
        down = [reduction(x[..., start:stop, :], axis=-2) for start, stop in self.rows]
        tall = np.stack(down, axis=-2)
        return np.stack([reduction(tall[..., start:stop], axis=-1) for start, stop in self.columns], axis=-1)

    def positions(self, x: Array) -> Positions:
        """Return where in its image, as row·w + column, each window has its largest element.

        Where several are equal it is the first in the order of rows, as torch has it: the uppermost row of those that hold
        the largest, and the leftmost column there.
        """
        across = [start + x[..., start:stop].argmax(axis=-1) for start, stop in self.columns]
        columns = np.stack(across, axis=-1)
        largest = np.take_along_axis(x, columns, axis=-1)
        down = [start + largest[..., start:stop, :].argmax(axis=-2) for start, stop in self.rows]
        rows = np.stack(down, axis=-2)
        places: Positions = rows * x.shape[-1] + np.take_along_axis(columns, rows, axis=-2)
        return places

    def spread(self, shares: Array, h: int, w: int) -> Array:
        """Return images … × h × w to which each window's share has been added wherever the window is."""
        tall = np.zeros((*shares.shape[:-1], w))
        for j, (start, stop) in enumerate(self.columns):
            tall[..., start:stop] += shares[..., j, None]
        images = np.zeros((*shares.shape[:-2], h, w))
        for i, (start, stop) in enumerate(self.rows):
            images[..., start:stop, :] += tall[..., i, None, :]
        return images

    def around(self, row: int, column: int) -> Iterator[tuple[int, int, Span, Span]]:
        """Yield i, j and the rows and columns of every window that covers one place."""
        for i, rows in enumerate(self.rows):
            if rows[0] <= row < rows[1]:
                for j, columns in enumerate(self.columns):
                    if columns[0] <= column < columns[1]:
                        yield i, j, rows, columns


def stepped(extent: int, size: int, stride: int, pad: int, count: int) -> tuple[Span, ...]:
    """Return `count` windows of `size` places, a stride apart, the first of which begins in the padding."""
    starts = (at * stride - pad for at in range(count))
    return tuple((max(start, 0), min(start + size, extent)) for start in starts)


def shared_out(extent: int, count: int) -> tuple[Span, ...]:
    """Return `count` windows that share out the places: from floor(i·extent / count) to ceil((i + 1)·extent / count)."""
    return tuple((at * extent // count, -((at + 1) * extent // -count)) for at in range(count))
