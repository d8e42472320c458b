"""The number formats: their size, their rounding error, and arrays rounded to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DType:
    """A number format.

    `roundoff` is the unit roundoff u = 2^-p for p significand bits (Higham, Accuracy and Stability of
    Numerical Algorithms, 2nd ed., section 2.1). `accumulator_roundoff` is that of the narrowest format in
    which a sum of such numbers may be accumulated: 16-bit formats must accumulate in float32, as vendor
    libraries do. `storage` is the format that tensors have in memory where it is another: TF32 is float32 whose products
    are taken of 11 significant bits (NVIDIA A100 whitepaper, 2020).
    """

    name: str
    itemsize: int
    roundoff: float
    accumulator_roundoff: float
    stored_as: str = ""

    @property
    def storage(self) -> str:
        """The format of the tensors in memory."""
        return self.stored_as or self.name


DTYPES: Mapping[str, DType] = MappingProxyType(
    {
        dtype.name: dtype
        for dtype in (
            DType("float64", 8, 2.0**-53, 2.0**-53),
            DType("float32", 4, 2.0**-24, 2.0**-24),
            DType("tf32", 4, 2.0**-11, 2.0**-24, "float32"),
            DType("float16", 2, 2.0**-11, 2.0**-24),
            DType("bfloat16", 2, 2.0**-8, 2.0**-24),
            DType("float8_e4m3fn", 1, 2.0**-4, 2.0**-24),
            DType("int8", 1, 0.0, 0.0),
        )
    }
)
"""What a problem can be computed in."""
FLOATS = ("float64", "float32", "tf32", "float16", "bfloat16")
"""What any op can be computed in; the formats of 8 bits are for the ops that say so."""
FORMATS: Mapping[str, DType] = MappingProxyType(
    {**DTYPES}
    | {name: DType(name, size, 0.0, 0.0) for name, size in (("int64", 8), ("int32", 4), ("bool", 1))}
)
"""What a tensor can be held in: besides those, indices, sums of 8-bit products, and masks."""
INTEGERS = frozenset({"int64", "int32", "int8", "bool"})
"""The formats whose numbers are compared exactly, and which have no NaN."""


_DROPPED_BITS: Mapping[str, int] = MappingProxyType({"bfloat16": 16, "tf32": 13})
"""Of float32's 32 bits, how many a format that is its beginning leaves out."""


def rounded(values: Array, dtype: str) -> Array:
    """Return the float64 values rounded to the nearest number of the format, still held as float64.

    bfloat16 keeps the upper 16 bits of float32 and TF32 the upper 19, rounded to nearest even. float8_e4m3fn has 4
    significand bits and 448 as its largest number (P. Micikevicius et al., FP8 Formats for Deep Learning, 2022); what is
    beyond becomes NaN. Integers are to be whole already.
    """
    if dtype == "float64":
        return values
    if dtype == "float8_e4m3fn":
        return np.asarray(values).astype(ml_dtypes.float8_e4m3fn).astype(np.float64)
    if dtype in _DROPPED_BITS:
        return _without_low_bits(values, _DROPPED_BITS[dtype])
    return values.astype(np.dtype(dtype)).astype(np.float64)


def poison_of(dtype: str) -> float | int | bool:
    """Return what no right answer is likely to be: NaN, the smallest integer, true."""
    if dtype not in INTEGERS:
        return math.nan
    return True if dtype == "bool" else int(np.iinfo(dtype).min)


def _without_low_bits(values: Array, dropped: int) -> Array:
    bits = values.astype(np.float32).view(np.uint32)
    half = np.uint32((1 << (dropped - 1)) - 1)
    bits = (bits + half + ((bits >> dropped) & 1)) & np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)
    return bits.view(np.float32).astype(np.float64)
