"""How far an answer may be from the float64 reference."""

from __future__ import annotations

import math

from dlbench.ops.dtypes import DTYPES
from dlbench.ops.problem import Problem

SAFETY = 16.0
"""Over the typical error of a sum in any order. Rounding errors add like a random walk, so that a sum of K
products is off by about u sqrt(K) of its root mean square (Higham & Mary, A new approach to probabilistic
rounding error analysis, SIAM J. Sci. Comput. 41, 2019); the largest of millions of outputs is some six
standard deviations out, and the largest output stands as far above the root mean square. Observed at worst,
over every variant, on small ragged shapes and on layers like ResNet-50's (normal and uniform data): 0.24 of the
tolerance in float32, 0.36 in float64, 0.44 in 16 bits; and 0.90 by torch:native, whose 16-bit data
gradients are added up in 16 bits (7 × 7 taps). A dropped term of median size is more than 20 tolerances off
at float32 up to 4608 terms (tests/ops/test_tolerance.py)."""


def tolerance(problem: Problem) -> float:
    """Return the largest allowed error, relative to the root mean square of the reference output.

    16 crest (u sqrt(R) + u' sqrt(K)) with the unit roundoff u of the dtype, or of what the op says its results are rounded
    to, that of its accumulator u', the roundings in a row R, and the longest sum K; the crest is 1 but for softmax and the
    like, a few of whose outputs are far larger than the rest. It is 0 for integers.
    """
    op, direction = problem.op, problem.direction
    dtype = DTYPES[op.rounded_to(problem.dtype)]
    sums = dtype.accumulator_roundoff * math.sqrt(op.reduction_length(direction))
    roundings = dtype.roundoff * math.sqrt(op.roundings(direction))
    return SAFETY * op.crest(direction) * (roundings + sums)
