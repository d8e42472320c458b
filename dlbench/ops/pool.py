"""What the ops of pooling share: the images, and the largest or the mean of each window."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.freivalds import signs
from dlbench.ops.op import Direction, Op, Shape
from dlbench.ops.windows import Positions, Windows


class Pool(Op):
    """A reduction of windows of images n × c × h × w, each channel by itself, to n × c × p × q."""

    directions: ClassVar[tuple[Direction, ...]] = ("forward", "backward")
    layouts: ClassVar[tuple[str, ...]] = ("NCHW", "NHWC")

    n: Extent = 1
    c: Extent
    h: Extent
    w: Extent

    @property
    def x_shape(self) -> Shape:
        """The input's shape."""
        return self.n, self.c, self.h, self.w

    @property
    @abstractmethod
    def y_shape(self) -> Shape:
        """The output's shape."""

    @property
    @abstractmethod
    def windows(self) -> Windows:
        """What each output is reduced from."""

    @property
    @abstractmethod
    def taps(self) -> int:
        """How many elements all windows of one channel have."""

    @property
    @abstractmethod
    def overlap(self) -> int:
        """How many windows there are at most around one element of the input."""

    def roundings(self, direction: Direction) -> int:
        """Return 1; backward the windows that may meet in one element, as torch adds 16-bit shares up in 16 bits."""
        return 1 if direction == "forward" else self.overlap

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        """Return y or dx."""
        return {"y": self.y_shape} if direction == "forward" else {"dx": self.x_shape}

    def reference_cost(self, direction: Direction) -> int:  # noqa: ARG002 - every window is looked at either way
        """Return how many elements the windows and the images have."""
        return self.n * self.c * (self.taps + self.h * self.w)

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single outputs, each from its own window or from the windows around it."""
        places = np.column_stack(np.unravel_index(positions, self.outputs(direction)[output])).tolist()
        find = self._y_at if direction == "forward" else self._dx_at
        windows = self.windows
        return np.array([find(windows, inputs, *place) for place in places])

    @abstractmethod
    def _y_at(
        self, windows: Windows, inputs: Mapping[str, Array], n: int, c: int, row: int, column: int
    ) -> float: ...

    @abstractmethod
    def _dx_at(
        self, windows: Windows, inputs: Mapping[str, Array], n: int, c: int, row: int, column: int
    ) -> float: ...


class MaxPool(Pool):
    """The largest element of each window.

    FLOPs: a comparison for each element of each window, as with a running maximum that starts below all numbers, and
    backward an addition for each window.

    Backward adds each dy to where its window's largest element is; of several equal ones to the first in the order of
    rows. Where that is has been found by the forward pass of a training step, which keeps it for this: `positions` are
    therefore found before the call and are not timed, in every variant, and x is not read by it. Compulsory bytes of
    backward are dy, read, and dx, written; the positions, which each library keeps in a format of its own, are not
    counted.
    """

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x, and for its gradient dy as well."""
        return {"x": self.x_shape} if direction == "forward" else {"x": self.x_shape, "dy": self.y_shape}

    def flops(self, direction: Direction) -> int:
        """Return one per tap, backward one per output."""
        return self.n * self.c * self.taps if direction == "forward" else math.prod(self.y_shape)

    def traffic(self, direction: Direction, itemsize: int) -> int:  # noqa: ARG002 - an image and an output either way
        """Return the compulsory bytes: x and y, or dy and dx."""
        return (math.prod(self.x_shape) + math.prod(self.y_shape)) * itemsize

    def reduction_length(self, direction: Direction) -> int:
        """Return 1, for nothing is added up; backward the windows that may meet in one element."""
        return 1 if direction == "forward" else self.overlap

    def crest(self, direction: Direction) -> float:
        """Return how much farther the largest output stands out than that of normal data.

        Backward at least h·w - p·q of an image's gradients are 0, which makes the root mean square of all smaller than
        that of the others by sqrt(h·w / (p·q)).
        """
        inputs, outputs = math.prod(self.x_shape), math.prod(self.y_shape)
        return 1.0 if direction == "forward" else max(1.0, math.sqrt(inputs / outputs))

    def positions(self, x: Array) -> Positions:
        """Return where in its image, as row·w + column, the largest element of each window is: n × c × p × q."""
        return self.windows.positions(x)

    def targets(self, x: Array) -> Positions:
        """Return the flat places (C order) in x that `positions` says, window by window."""
        images = np.arange(self.n * self.c).reshape(self.n, self.c, 1, 1)
        places: Positions = (images * self.h * self.w + self.positions(x)).ravel()
        return places

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return y or dx."""
        if direction == "forward":
            return {"y": self.windows.reduced(inputs["x"], np.max)}
        dx = np.zeros(self.x_shape)
        np.add.at(dx.reshape(-1), self.targets(inputs["x"]), inputs["dy"].ravel())
        return {"dx": dx}

    def _y_at(
        self, windows: Windows, inputs: Mapping[str, Array], n: int, c: int, row: int, column: int
    ) -> float:
        rows, columns = windows.rows[row], windows.columns[column]
        return float(inputs["x"][n, c, slice(*rows), slice(*columns)].max())

    def _dx_at(
        self, windows: Windows, inputs: Mapping[str, Array], n: int, c: int, row: int, column: int
    ) -> float:
        total = 0.0
        for i, j, rows, columns in windows.around(row, column):
            first = inputs["x"][n, c, slice(*rows), slice(*columns)].argmax()
            own = (row - rows[0]) * (columns[1] - columns[0]) + column - columns[0]
            total += float(inputs["dy"][n, c, i, j]) if first == own else 0.0
        return total


class AvgPool(Pool):
    """The mean of each window.

    FLOPs: an addition for each element of each window and a division for each window, in both directions: backward
    divides each dy and adds the share to every element of its window.
    """

    @property
    @abstractmethod
    def sizes(self) -> tuple[list[int], list[int]]:
        """What each window's sum is divided by, as its rows and its columns."""

    @property
    def areas(self) -> Array:
        """What each window's sum is divided by: p × q."""
        rows, columns = self.sizes
        return np.outer(rows, columns).astype(np.float64)

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        """Return x or dy."""
        return {"x": self.x_shape} if direction == "forward" else {"dy": self.y_shape}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - the same in both directions
        """Return one per tap and one per output."""
        return self.n * self.c * self.taps + math.prod(self.y_shape)

    def reduction_length(self, direction: Direction) -> int:
        """Return the elements of the largest window, or the windows that may meet in one element."""
        return self.largest if direction == "forward" else self.overlap

    @property
    @abstractmethod
    def largest(self) -> int:
        """How many elements the largest window has."""

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return y or dx."""
        if direction == "forward":
            return {"y": self.windows.reduced(inputs["x"], np.sum) / self.areas}
        return {"dx": self.windows.spread(inputs["dy"] / self.areas, self.h, self.w)}

    def _y_at(
        self, windows: Windows, inputs: Mapping[str, Array], n: int, c: int, row: int, column: int
    ) -> float:
        rows, columns = windows.rows[row], windows.columns[column]
        total = float(inputs["x"][n, c, slice(*rows), slice(*columns)].sum())
        down, across = self.sizes
        return total / (down[row] * across[column])

    def _dx_at(
        self, windows: Windows, inputs: Mapping[str, Array], n: int, c: int, row: int, column: int
    ) -> float:
        down, across = self.sizes
        around = windows.around(row, column)
        return sum(float(inputs["dy"][n, c, i, j]) / (down[i] * across[j]) for i, j, _, _ in around)

    def projection(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
        rng: np.random.Generator,
    ) -> tuple[Array, Array] | None:
        """Return a random ±1 combination of the output's channels, and the same of the combined input.

        Pooling is linear and does the same to every channel: the combination costs a c-th of the whole.
        """
        v = signs(self.c, rng)
        (given,), (found,) = self.inputs(direction), self.outputs(direction)
        combined = np.einsum("nchw,c->nhw", inputs[given], v)[:, None]
        expected = self.model_copy(update={"c": 1}).reference(direction, {given: combined})[found]
        return np.einsum("nchw,c->nhw", outputs[found], v), expected[:, 0]
