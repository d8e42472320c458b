"""What sorts: the k largest elements of rows, all of them in order, and non-maximum suppression by score."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Self

import numpy as np
from pydantic import Field, model_validator

from dlbench.errors import ProblemError
from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.indices import Positions, out_of_range
from dlbench.ops.op import Direction, Distribution, Op, Shape
from dlbench.ops.rows import OverRows

IMAGE = 1024
"""Pixels of an image's side."""
CANDIDATES = 8
"""Boxes around one object, of which a detector proposes many."""
SIDES = 16, 64
"""Pixels of an object's sides, at least and at most."""
JITTER = 4
"""Pixels by which a candidate's edges are off its object's, at most."""
DECIMALS = 3
"""Of a threshold, at most: see Nms on rounding."""
OVERLAP_OPERATIONS = 13
"""Counted for two boxes: the larger and the smaller of four pairs of edges, two differences, each not below 0, and
their product are the intersection; a sum of areas less it is the union; a division and a comparison follow."""
AREA_OPERATIONS = 3
"""Counted for one box: two differences and a product."""


def sorting_comparisons(count: int) -> int:
    """Return count · ⌈log2 count⌉: the comparisons of a merge sort, at most.

    D. E. Knuth, The Art of Computer Programming 3, 2nd ed., section 5.2.4. The convention of this suite for any sort.
    """
    return count * (count - 1).bit_length()


class _Order(OverRows):
    """An op that gives columns of each row in the order of its elements.

    Of equal elements any may come first: the elements in these columns are what is compared. Which columns they are is
    for the complaint: in range, and no column twice in a row.
    """

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - forward only
        """Return that the indices are int64."""
        return {"indices": "int64"}

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1: nothing is summed."""
        return 1

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: Positions,
    ) -> Array:
        """Return single elements, each from the order of its own row."""
        row, column = np.unravel_index(positions, self.outputs(direction)[output])
        whole = self.reference(direction, {"x": inputs["x"][row]})[output]
        values: Array = whole[np.arange(len(row)), column]
        return values

    def seen(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],
        outputs: Mapping[str, Array],
    ) -> Mapping[str, Array]:
        """Return the elements in the columns for the indices, and all else as it is."""
        return {**outputs, "indices": _elements(inputs["x"], outputs["indices"])}

    def complaint(
        self,
        direction: Direction,  # noqa: ARG002 - forward only
        inputs: Mapping[str, Array],  # noqa: ARG002 - they are compared
        outputs: Mapping[str, Array],
    ) -> str:
        """Return the first index that is no column, or the first row that has a column twice."""
        indices = outputs["indices"]
        return out_of_range("indices", indices, self.cols) or _twice(indices)


class Topk(_Order):
    """values[i, j] = j-th largest element of row i of a matrix of rows × cols, in descending order, j < k.

    `indices` has their columns. Counted are one comparison for each element, to find the k largest, and k·⌈log2 k⌉ for
    their order. Traffic is one read of the matrix, one write of k values and k int64 indices for each row.
    """

    name: ClassVar[str] = "topk"
    summary: ClassVar[str] = "k largest elements of each row, sorted, and their columns"

    k: Extent

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if self.k > self.cols:
            raise ProblemError(
                f"{self.name} {self.label()}: rows of {self.cols} elements have no {self.k} largest"
            )
        return self

    def label(self) -> str:
        """Return "5 of 128×1000"."""
        return f"{self.k} of {super().label()}"

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return values and indices."""
        return {"values": (self.rows, self.k), "indices": (self.rows, self.k)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return rows·(cols + k·⌈log2 k⌉)."""
        return self.rows * (self.cols + sorting_comparisons(self.k))

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the values, and for the indices as well: `seen` gives the elements in their columns."""
        x = inputs["x"]
        largest = np.partition(x, self.cols - self.k, axis=-1)[:, self.cols - self.k :]
        values = np.sort(largest, axis=-1)[:, ::-1]
        return {"values": values, "indices": values}

    def complaint(
        self, direction: Direction, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> str:
        """Return what is wrong with the indices, or the first value that is not the element in its column."""
        if wrong := super().complaint(direction, inputs, outputs):
            return wrong
        elements, values = _elements(inputs["x"], outputs["indices"]), outputs["values"]
        different = (elements != values).ravel()
        if not different.any():
            return ""
        first = int(different.argmax())
        return (
            f"output values is {values.ravel()[first]:.6g} at position {first}, where the element that indices "
            f"names is {elements.ravel()[first]:.6g}"
        )


class Argsort(_Order):
    """indices[i, j] = column of the j-th smallest element of row i of a matrix of rows × cols, an int64.

    cols·⌈log2 cols⌉ comparisons are counted for each row. Traffic is one read of the matrix and one write of the
    indices.
    """

    name: ClassVar[str] = "argsort"
    summary: ClassVar[str] = "columns of each row in ascending order of its elements"

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return indices."""
        return {"indices": (self.rows, self.cols)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return rows·cols·⌈log2 cols⌉."""
        return self.rows * sorting_comparisons(self.cols)

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the sorted elements, as `seen` gives them for the indices."""
        return {"indices": np.sort(inputs["x"], axis=-1)}


class Nms(Op):
    """keep[i] = whether non-maximum suppression keeps box i of n: no kept box of a higher score overlaps it too much.

    Boxes are taken by descending score, of equal scores the lower index first; one is kept unless its intersection over
    union with a kept box is above the threshold. A box is x1, y1, x2, y2, as in torchvision.ops.nms; the answer is a
    mask, not a list of the kept, so that its shape is known. The overlaps of all n(n - 1)/2 pairs are counted, of which
    an implementation may leave out those with boxes that are not kept, n areas and a sort.

    Rounding moves no box over the threshold. Coordinates are drawn as whole numbers, several candidates around each
    object, so that intersections and unions are exact, and unions are at most 2·72². A quotient is another number than a
    threshold of three decimals only if it differs by 1/(1000·2·72²) or more, which is over float32's spacing below 1,
    2^-24: both rounded, it is above the threshold only if it was before. 16 bits are too few for either.
    """

    name: ClassVar[str] = "nms"
    summary: ClassVar[str] = "non-maximum suppression of boxes"
    dtypes: ClassVar[tuple[str, ...]] = ("float64", "float32")

    n: Extent
    threshold: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = 0.5

    @model_validator(mode="after")
    def _make_sense(self) -> Self:
        if round(self.threshold, DECIMALS) != self.threshold:
            raise ProblemError(
                f"{self.name} of {self.n} boxes: a threshold of {self.threshold} has more than {DECIMALS} decimals, "
                "too fine to be told from an overlap in float32"
            )
        return self

    def label(self) -> str:
        """Return "1000 boxes, IoU 0.5"."""
        return f"{self.n} boxes, IoU {self.threshold:g}"

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return boxes and scores."""
        return {"boxes": (self.n, 4), "scores": (self.n,)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return keep."""
        return {"keep": (self.n,)}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - forward only
        """Return that keep is a mask."""
        return {"keep": "bool"}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        """Return scores of the distribution, and boxes around objects at random places of an image."""
        objects = -(-self.n // CANDIDATES)
        corners = rng.integers(0, IMAGE, (objects, 2))
        sides = rng.integers(*SIDES, (objects, 2), endpoint=True)
        around = np.repeat(np.hstack([corners, corners + sides]), CANDIDATES, axis=0)[: self.n]
        boxes = around + rng.integers(-JITTER, JITTER, around.shape, endpoint=True)
        return super().make_inputs(direction, dtype, distribution, rng) | {"boxes": boxes.astype(np.float64)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 13·n·(n - 1)/2 + 3·n + n·⌈log2 n⌉."""
        overlaps = OVERLAP_OPERATIONS * (self.n * (self.n - 1) // 2)
        return overlaps + AREA_OPERATIONS * self.n + sorting_comparisons(self.n)

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1: nothing is summed."""
        return 1

    def reference_cost(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return the boxes: whether one is kept takes as long to find out as whether all are, so none is sampled."""
        return self.n

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the mask."""
        boxes = np.ascontiguousarray(inputs["boxes"].T)
        keep = np.ones(self.n, dtype=bool)
        waiting = np.argsort(-inputs["scores"], kind="stable")
        while waiting.size:
            best, rest = waiting[0], waiting[1:]
            dropped = _overlaps(boxes[:, best], boxes[:, rest]) > self.threshold
            keep[rest[dropped]] = False
            waiting = rest[~dropped]
        return {"keep": keep.astype(np.float64)}


def _overlaps(box: Array, others: Array) -> Array:
    """Return the intersection over union of a box, 4, with each of others, 4 × n."""
    edges = np.minimum(box[2:, None], others[2:]) - np.maximum(box[:2, None], others[:2])
    intersections = np.maximum(edges, 0).prod(axis=0)
    areas = (others[2:] - others[:2]).prod(axis=0)
    ratios: Array = intersections / ((box[2:] - box[:2]).prod() + areas - intersections)
    return ratios


def _elements(x: Array, indices: Array) -> Array:
    """Return the elements of x in these columns of the same rows."""
    return np.take_along_axis(x, indices.astype(np.intp), axis=-1)


def _twice(indices: Array) -> str:
    """Return the first row that has a column twice, and the column; empty where there is none."""
    ordered = np.sort(indices, axis=-1)
    again = ordered[:, 1:] == ordered[:, :-1]
    if not again.any():
        return ""
    row = int(again.any(axis=-1).argmax())
    return f"output indices has column {ordered[row, int(again[row].argmax())]:.0f} twice in row {row}"
