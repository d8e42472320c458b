"""One recurrent layer gone through in one direction, as loops over sequences, steps, units and their inputs.

Each takes x, the first states, w_ih, w_hh, b_ih and b_hh, and writes h of every step into y and the last states into what
is given for them. Before the first step h is the first state, then what stands in y.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numba import njit


@njit(cache=True)
def _sum(row, weights, bias, values):  # type: ignore[no-untyped-def]  # numba infers the types
    total = bias[row]
    for j in range(values.shape[0]):
        total += weights[row, j] * values[j]
    return total


@njit(cache=True)
def _squashed(x, one):  # type: ignore[no-untyped-def]  # numba infers the types
    return one / (one + np.exp(-x))


@njit(cache=True)
def _tanh(x, h0, w_ih, w_hh, b_ih, b_hh, y, h, reverse):  # type: ignore[no-untyped-def]  # numba infers the types
    steps, batch, hidden = y.shape
    for n in range(batch):
        before = h0[n]
        for step in range(steps):
            t = steps - 1 - step if reverse else step
            for k in range(hidden):
                y[t, n, k] = np.tanh(_sum(k, w_ih, b_ih, x[t, n]) + _sum(k, w_hh, b_hh, before))
            before = y[t, n]
        h[n] = before


@njit(cache=True)
def _relu(x, h0, w_ih, w_hh, b_ih, b_hh, y, h, reverse):  # type: ignore[no-untyped-def]  # numba infers the types
    steps, batch, hidden = y.shape
    zero = y.dtype.type(0)
    for n in range(batch):
        before = h0[n]
        for step in range(steps):
            t = steps - 1 - step if reverse else step
            for k in range(hidden):
                y[t, n, k] = max(_sum(k, w_ih, b_ih, x[t, n]) + _sum(k, w_hh, b_hh, before), zero)
            before = y[t, n]
        h[n] = before


@njit(cache=True)
def _lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh, y, h, c, reverse):  # type: ignore[no-untyped-def]  # numba infers the types
    steps, batch, hidden = y.shape
    one = y.dtype.type(1)
    for n in range(batch):
        before = h0[n]
        c[n] = c0[n]
        for step in range(steps):
            t = steps - 1 - step if reverse else step
            for k in range(hidden):
                i = _sum(k, w_ih, b_ih, x[t, n]) + _sum(k, w_hh, b_hh, before)
                f = _sum(hidden + k, w_ih, b_ih, x[t, n]) + _sum(hidden + k, w_hh, b_hh, before)
                g = _sum(2 * hidden + k, w_ih, b_ih, x[t, n]) + _sum(2 * hidden + k, w_hh, b_hh, before)
                o = _sum(3 * hidden + k, w_ih, b_ih, x[t, n]) + _sum(3 * hidden + k, w_hh, b_hh, before)
                c[n, k] = _squashed(f, one) * c[n, k] + _squashed(i, one) * np.tanh(g)
                y[t, n, k] = _squashed(o, one) * np.tanh(c[n, k])
            before = y[t, n]
        h[n] = before


@njit(cache=True)
def _gru(x, h0, w_ih, w_hh, b_ih, b_hh, y, h, reverse):  # type: ignore[no-untyped-def]  # numba infers the types
    steps, batch, hidden = y.shape
    one = y.dtype.type(1)
    for n in range(batch):
        before = h0[n]
        for step in range(steps):
            t = steps - 1 - step if reverse else step
            for k in range(hidden):
                r = _squashed(_sum(k, w_ih, b_ih, x[t, n]) + _sum(k, w_hh, b_hh, before), one)
                z = _sum(hidden + k, w_ih, b_ih, x[t, n]) + _sum(hidden + k, w_hh, b_hh, before)
                new = _sum(2 * hidden + k, w_ih, b_ih, x[t, n])
                new = np.tanh(new + r * _sum(2 * hidden + k, w_hh, b_hh, before))
                y[t, n, k] = new + _squashed(z, one) * (before[k] - new)
            before = y[t, n]
        h[n] = before


LAYERS: Mapping[str, Callable[..., None]] = MappingProxyType(
    {"tanh": _tanh, "relu": _relu, "lstm": _lstm, "gru": _gru}
)
"""By the kind of a layer."""
