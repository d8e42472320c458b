"""What ops on the elements of vectors share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Op
from dlbench.units import format_count


class OverElements(Op):
    """An op on n elements, each output from the inputs at its own place alone."""

    operations: ClassVar[Mapping[Direction, int]] = {"forward": 1}
    """Counted for each element: comparisons, additions, products and divisions, and each call of exp, sqrt, tanh or erf as
    one. A convention: torch.utils.flop_counter counts none of these ops."""

    n: Extent

    def label(self) -> str:
        """Return the number of elements."""
        return format_count(self.n)

    def flops(self, direction: Direction) -> int:
        """Return the operations of each element, n times."""
        return self.operations[direction] * self.n

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - in every direction
        """Return 1: nothing is summed over elements."""
        return 1

    def reference_at(
        self,
        direction: Direction,
        inputs: Mapping[str, Array],
        output: str,
        positions: np.ndarray[tuple[int], np.dtype[np.intp]],
    ) -> Array:
        """Return single outputs, each from the inputs at its place."""
        there = {name: values[positions] for name, values in inputs.items()}
        return self.reference(direction, there)[output]
