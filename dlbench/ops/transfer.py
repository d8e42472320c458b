"""Copies between the host's memory and an accelerator's, over the link between them (PCIe, NVLink)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from dlbench.ops.dtypes import Array
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Op, Shape
from dlbench.units import format_count


class _Transfer(Op):
    """A copy of n elements over the link; both buffers are allocated before.

    `pinned` says that the host's buffer is page-locked: the device then reads or writes it by itself, where pageable
    memory first goes through a page-locked buffer of the driver's (CUDA C++ Best Practices Guide, Pinned Memory).
    Traffic is what crosses the link, each byte once: not a read and a write of it, as a copy within one
    memory counts.
    """

    n: Extent
    pinned: bool = False

    def label(self) -> str:
        """Return the number of elements and the kind of the host's memory."""
        return f"{format_count(self.n)} {'pinned' if self.pinned else 'pageable'}"

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return the vector that is copied."""
        return {"a": (self.n,)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - forward only
        """Return the copy."""
        return {"c": (self.n,)}

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 0."""
        return 0

    def traffic(self, direction: Direction, itemsize: int) -> int:  # noqa: ARG002 - forward only
        """Return the bytes that cross the link."""
        return itemsize * self.n

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - forward only
        """Return 1: nothing is summed."""
        return 1

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the same values."""
        return {"c": inputs["a"].copy()}


class ToDevice(_Transfer):
    """c on the accelerator = a in the host's memory."""

    name: ClassVar[str] = "to_device"
    summary: ClassVar[str] = "copy from the host to the accelerator"


class ToHost(_Transfer):
    """c in the host's memory = a on the accelerator."""

    name: ClassVar[str] = "to_host"
    summary: ClassVar[str] = "copy from the accelerator to the host"
