"""The tagger by BLAS, step by step."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.ops.problem import Problem
from dlbench.ops.tagger import LSTM, LstmTagger
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("lstm_tagger", variant="library")
def tagger(problem: Problem, *tensors: Tensor) -> Call:
    """The inputs of all steps in one product, the states' one for each step."""
    op = problem.op
    if not isinstance(op, LstmTagger):
        raise TypeError(f"not a tagger: {op!r}")
    given = dict(zip(op.inputs(problem.direction), tensors, strict=True))
    words, table = given["words"], given["table"]
    states = np.empty((op.steps, op.batch, 2 * op.hidden_size), table.dtype)
    ways = [
        (range(op.steps), states[..., : op.hidden_size], [given[name] for name in LSTM]),
        (
            range(op.steps - 1, -1, -1),
            states[..., op.hidden_size :],
            [given[f"{name}_reverse"] for name in LSTM],
        ),
    ]

    def call() -> Tensor:
        x = table[words]
        for order, out, weights in ways:
            _lstm(x, order, out, weights)
        scores = states @ given["w_out"].T + given["b_out"]
        log_z = given["begin"] + scores[0]
        for step in scores[1:]:
            log_z = _log_sum(log_z[:, :, None] + given["transitions"]) + step
        return _log_sum((log_z + given["end"])[:, :, None])[:, 0]

    return call


def _lstm(x: Tensor, order: range, out: Tensor, weights: list[Tensor]) -> None:
    w_ih, w_hh, b_ih, b_hh = weights
    entering = x @ w_ih.T + (b_ih + b_hh)
    half = x.dtype.type(0.5)
    h = c = np.zeros(out.shape[1:], x.dtype)
    for t in order:
        i, f, g, o = np.split(entering[t] + h @ w_hh.T, 4, axis=-1)
        i, f, o = (half * (1 + np.tanh(half * gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        out[t] = h


def _log_sum(values: Tensor) -> Tensor:
    """Return the logarithm of the sum of exponentials over the middle axis."""
    largest = values.max(axis=1)
    total: Tensor = np.log(np.exp(values - largest[:, None]).sum(axis=1)) + largest
    return total
