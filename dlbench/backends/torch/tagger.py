"""The tagger through torch: its fused LSTM, and logsumexp step by step."""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from dlbench.backends.backend import implements
from dlbench.backends.torch import recurrent
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent import Lstm
from dlbench.ops.tagger import LstmTagger
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64")
UNCOMPILED = "torch.compile does not take up torch's fused LSTM"


@implements("lstm_tagger", variant="library", dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("lstm_tagger", variant="native", dtypes=DTYPES)
def tagger(problem: Problem, *tensors: torch.Tensor) -> Call:
    """index_select, the LSTM as the op `lstm` has it, a linear layer, and a logsumexp over the tags for each step."""
    op = problem.op
    if not isinstance(op, LstmTagger):
        raise TypeError(f"not a tagger: {op!r}")
    words, table, *weights = tensors
    x = table.new_empty(op.steps, op.batch, op.dim)
    lstm = _lstm(op, problem.dtype, x, weights[:8])
    w_out, b_out, transitions, begin, end = weights[8:]
    flat, rows = words.flatten(), x.view(-1, op.dim)

    def call() -> torch.Tensor:
        torch.index_select(table, 0, flat, out=rows)
        states, *_ = lstm()
        scores = F.linear(states, w_out, b_out)
        log_z = begin + scores[0]
        for step in scores[1:]:
            log_z = torch.logsumexp(log_z[:, :, None] + transitions, 1) + step
        return torch.logsumexp(log_z + end, 1)

    return call


def _lstm(op: LstmTagger, dtype: str, x: torch.Tensor, weights: list[torch.Tensor]) -> Call:
    """Return the call of a bidirectional layer over x, from states of 0."""
    layer = Lstm(
        steps=op.steps, batch=op.batch, input_size=op.dim, hidden_size=op.hidden_size, bidirectional=True
    )
    zeros = x.new_zeros(2, op.batch, op.hidden_size)
    return recurrent.fused(Problem(layer, dtype), x, zeros, zeros, *weights)
