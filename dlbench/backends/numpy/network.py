"""Networks as chains of this folder's ops."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import collect, implements
from dlbench.backends.chain import Kit, chained
from dlbench.backends.numpy import activation, conv, linear, normalization, pooling
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


def summed(inputs: list[Tensor], out: Tensor) -> Tensor:
    """Write the sum of two into `out`."""
    first, second = inputs
    np.add(first, second, out=out)
    return out


def joined(inputs: list[Tensor], out: Tensor) -> Tensor:
    """Write the channels of all into `out`."""
    np.concatenate(inputs, axis=1, out=out)
    return out


IM2COL = Kit(
    collect(activation, conv, linear, normalization, pooling),
    ("im2col", "library", "native"),
    {"sum": summed, "concat": joined},
)


@implements("network", variant="im2col")
@implements("residual_bottleneck", variant="im2col")
@implements("inception_block", variant="im2col")
def network(problem: Problem, *tensors: Tensor) -> Call:
    """Convolutions over gathered columns, the rest by BLAS and array expressions."""
    return chained(problem, tensors, IM2COL)
