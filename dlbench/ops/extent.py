"""What ops share about their parameters."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

MOST = 2**31 - 1
"""Extents beyond this overflow the 32-bit sizes of vendor libraries."""
Extent = Annotated[int, Field(ge=1, le=MOST)]
Padding = Annotated[int, Field(ge=0, le=MOST)]
