"""What ops on any number of tensors of one shape share."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from dlbench.ops.op import Shape

MANY = 2**16
"""More tensors than the largest networks have parameters: a slip of the finger, named as such."""
Several = Annotated[int, Field(ge=1, le=MANY)]


def numbered(prefix: str, count: int, shape: Shape) -> dict[str, Shape]:
    """Return the shape by the names x0, x1, …, for a prefix of "x"."""
    return {f"{prefix}{number}": shape for number in range(count)}
