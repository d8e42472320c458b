"""The tagger as loops on one core."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.ops.tagger import LstmTagger
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _sigmoid(x):  # type: ignore[no-untyped-def]  # numba infers the types
    half = type(x)(0.5)
    return half + half * np.tanh(half * x)


@njit(cache=True)
def _lstm(words, table, gates, cell, states, first, reverse, w_ih, w_hh, b_ih, b_hh):  # type: ignore[no-untyped-def]
    steps, batch = words.shape
    hidden = cell.size
    for n in range(batch):
        cell[...] = 0
        for number in range(steps):
            t = steps - 1 - number if reverse else number
            before = t + 1 if reverse else t - 1
            for row in range(4 * hidden):
                total = b_ih[row] + b_hh[row]
                for k in range(table.shape[1]):
                    total += w_ih[row, k] * table[words[t, n], k]
                if number > 0:
                    for k in range(hidden):
                        total += w_hh[row, k] * states[before, n, first + k]
                gates[row] = total
            for k in range(hidden):
                kept = _sigmoid(gates[hidden + k]) * cell[k]
                cell[k] = kept + _sigmoid(gates[k]) * np.tanh(gates[2 * hidden + k])
                states[t, n, first + k] = _sigmoid(gates[3 * hidden + k]) * np.tanh(cell[k])


@njit(cache=True)
def _score(states, w_out, b_out, t, n, tag):  # type: ignore[no-untyped-def]  # numba infers the types
    total = b_out[tag]
    for k in range(states.shape[2]):
        total += w_out[tag, k] * states[t, n, k]
    return total


@njit(cache=True)
def _log_sum(values):  # type: ignore[no-untyped-def]  # numba infers the types
    largest = values[0]
    for value in values:
        largest = max(largest, value)
    total = values.dtype.type(0)
    for value in values:
        total += np.exp(value - largest)
    return largest + np.log(total)


@njit(cache=True)
def _forward(states, now, then, ways, log_z, w_out, b_out, transitions, begin, end):  # type: ignore[no-untyped-def]
    steps, batch, _ = states.shape
    for n in range(batch):
        for tag in range(now.size):
            now[tag] = begin[tag] + _score(states, w_out, b_out, 0, n, tag)
        for t in range(1, steps):
            for tag in range(now.size):
                for before in range(now.size):
                    ways[before] = now[before] + transitions[before, tag]
                then[tag] = _log_sum(ways) + _score(states, w_out, b_out, t, n, tag)
            now[...] = then
        for tag in range(now.size):
            now[tag] += end[tag]
        log_z[n] = _log_sum(now)


@implements("lstm_tagger", variant="naive")
def tagger(problem: Problem, *tensors: Tensor) -> Call:
    """Loops over sequences, steps, gates and inputs, then over pairs of tags."""
    op = problem.op
    if not isinstance(op, LstmTagger):
        raise TypeError(f"not a tagger: {op!r}")
    words, table, *weights = tensors
    states = np.empty((op.steps, op.batch, 2 * op.hidden_size), table.dtype)
    gates, cell = np.empty(4 * op.hidden_size, table.dtype), np.empty(op.hidden_size, table.dtype)
    now, then, ways = (np.empty(op.tags, table.dtype) for _ in range(3))
    forth, back, rest = weights[:4], weights[4:8], weights[8:]
    log_z = np.empty(op.batch, table.dtype)

    def call() -> Tensor:
        _lstm(words, table, gates, cell, states, 0, False, *forth)
        _lstm(words, table, gates, cell, states, op.hidden_size, True, *back)
        _forward(states, now, then, ways, log_z, *rest)
        return log_z

    return call
