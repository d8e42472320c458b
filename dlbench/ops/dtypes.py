"""The number formats: their size, their rounding error, and arrays rounded to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DType:
    """A number format.

    `roundoff` is the unit roundoff u = 2^-p for p significand bits (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 2.1). `accumulator_roundoff` is that of the narrowest format in
    which a sum of such numbers may be accumulated: 16-bit formats must accumulate in float32, as vendor
    libraries do.
    """

    name: str
    itemsize: int
    roundoff: float
    accumulator_roundoff: float


DTYPES: Mapping[str, DType] = MappingProxyType(
    {
        dtype.name: dtype
        for dtype in (
            DType("float64", 8, 2.0**-53, 2.0**-53),
            DType("float32", 4, 2.0**-24, 2.0**-24),
            DType("float16", 2, 2.0**-11, 2.0**-24),
            DType("bfloat16", 2, 2.0**-8, 2.0**-24),
        )
    }
)


def rounded(values: Array, dtype: str) -> Array:
    """Return the float64 values rounded to the nearest number of the format, still held as float64.

    bfloat16 keeps the upper 16 bits of float32, rounded to nearest even.
    """
    if dtype == "float64":
        return values
    if dtype == "bfloat16":
        bits = values.astype(np.float32).view(np.uint32)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)
        return bits.view(np.float32).astype(np.float64)
    return values.astype(np.dtype(dtype)).astype(np.float64)
