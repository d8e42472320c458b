"""What ops share about their parameters."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MOST = 2**40
"""A tensor with a longer axis fits no machine's memory: a slip of the finger, named as such."""
Extent = Annotated[int, Field(ge=1, le=MOST)]
Padding = Annotated[int, Field(ge=0, le=MOST)]
