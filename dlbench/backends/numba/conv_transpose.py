"""Transposed convolutions: the loops of a convolution's gradients, its input and output exchanged."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numba.conv_nd import DIRECTIONS, loop_call
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("conv_transpose1d", variant="naive", directions=DIRECTIONS)
@implements("conv_transpose2d", variant="naive", directions=DIRECTIONS)
@implements("conv_transpose3d", variant="naive", directions=DIRECTIONS)
def naive(problem: Problem, one: Tensor, other: Tensor) -> Call:
    """Loops over the inputs, each times the filter added to the outputs that it touches."""
    return loop_call(problem, one, other)
