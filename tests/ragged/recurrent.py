"""Small ragged problems of recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping

from dlbench.ops.op import Op
from dlbench.ops.recurrent import Gru, Lstm, Rnn
from dlbench.ops.recurrent_cell import GruCell, LstmCell, RnnCell

RAGGED: Mapping[str, tuple[Op, ...]] = {
    "rnn": (
        Rnn(steps=5, batch=3, input_size=4, hidden_size=7),
        Rnn(steps=3, batch=2, input_size=5, hidden_size=9, layers=2, bidirectional=True, nonlinearity="relu"),
    ),
    "lstm": (
        Lstm(steps=5, batch=3, input_size=4, hidden_size=7),
        Lstm(steps=3, batch=2, input_size=5, hidden_size=3, layers=2, bidirectional=True),
    ),
    "gru": (
        Gru(steps=5, batch=3, input_size=4, hidden_size=7),
        Gru(steps=3, batch=2, input_size=5, hidden_size=3, layers=2, bidirectional=True),
    ),
    "rnn_cell": (
        RnnCell(batch=3, input_size=4, hidden_size=7),
        RnnCell(batch=2, input_size=5, hidden_size=9, nonlinearity="relu"),
    ),
    "lstm_cell": (LstmCell(batch=3, input_size=4, hidden_size=7),),
    "gru_cell": (GruCell(batch=3, input_size=4, hidden_size=7),),
}
