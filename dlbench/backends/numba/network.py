"""Networks as chains of this folder's loops."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import collect, implements
from dlbench.backends.chain import Kit, chained
from dlbench.backends.numba import activation, conv, linear, normalization, pooling
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _sum(a, b, out):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(out.size):
        out[i] = a[i] + b[i]


@njit(cache=True)
def _place(part, out, first):  # type: ignore[no-untyped-def]  # numba infers the types
    n_, c_, h_, w_ = part.shape
    for n in range(n_):
        for c in range(c_):
            for h in range(h_):
                for w in range(w_):
                    out[n, first + c, h, w] = part[n, c, h, w]


def summed(inputs: list[Tensor], out: Tensor) -> Tensor:
    """Write the sum of two into `out`."""
    _sum(inputs[0].reshape(-1), inputs[1].reshape(-1), out.reshape(-1))
    return out


def joined(inputs: list[Tensor], out: Tensor) -> Tensor:
    """Write the channels of all into `out`."""
    first = 0
    for part in inputs:
        _place(part, out, first)
        first += part.shape[1]
    return out


NAIVE = Kit(
    collect(activation, conv, linear, normalization, pooling),
    ("naive",),
    {"sum": summed, "concat": joined},
)


@implements("network", variant="naive")
@implements("residual_bottleneck", variant="naive")
@implements("inception_block", variant="naive")
def network(problem: Problem, *tensors: Tensor) -> Call:
    """Every layer as its textbook's loops."""
    return chained(problem, tensors, NAIVE)
