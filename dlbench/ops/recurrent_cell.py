"""Recurrent cells: one step of a recurrent layer, with every gradient."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dlbench.ops import recurrent_reference as maths
from dlbench.ops.dtypes import Array
from dlbench.ops.op import Direction, Shape
from dlbench.ops.recurrent import PARAMETERS, Kind, Nonlinearity, RecurrentOp


class CellOp(RecurrentOp):
    """One step: x is batch × input_size, h0 and h (c0 and c) batch × hidden_size, the weights as those of a layer."""

    @property
    def depth(self) -> int:
        """One step."""
        return 1

    @property
    def samples(self) -> int:
        """The batch."""
        return self.batch

    def label(self) -> str:
        """Return "32×512 → 512": batch, inputs and the state's size."""
        return f"{self.batch}×{self.input_size} → {self.hidden_size}"

    @property
    def weight_shapes(self) -> dict[str, Shape]:
        """The weights and biases by name, in torch's order."""
        return dict(zip(PARAMETERS, self.layer_shapes(self.input_size), strict=True))

    @property
    def data_shapes(self) -> dict[str, Shape]:
        """x and the state."""
        x: dict[str, Shape] = {"x": (self.batch, self.input_size)}
        return x | {f"{name}0": (self.batch, self.hidden_size) for name in self.states}

    @property
    def forward_outputs(self) -> dict[str, Shape]:
        """The next state."""
        return dict.fromkeys(self.states, (self.batch, self.hidden_size))

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Return the next state, or the gradients."""
        w_ih, w_hh, b_ih, b_hh = (inputs[name] for name in PARAMETERS)
        first = tuple(inputs[f"{name}0"] for name in self.states)
        gone = maths.run(maths.KINDS[self.kind], (w_ih, w_hh, b_ih, b_hh), inputs["x"][None], first)
        if direction == "backward":
            given = tuple(inputs[f"d{name}"] for name in self.states)
            dx, states, weights = gone.back(np.zeros_like(gone.y), given)
            return dict(zip(self.outputs(direction), [dx[0], *states, *weights], strict=True))
        return dict(zip(self.outputs(direction), gone.states[-1], strict=True))


class RnnCell(CellOp):
    """h = tanh(w_ih x + b_ih + w_hh h0 + b_hh), or max(0, …) with `nonlinearity` relu."""

    name: ClassVar[str] = "rnn_cell"
    summary: ClassVar[str] = "one step of a simple recurrent network"
    gates: ClassVar[int] = 1

    nonlinearity: Nonlinearity = "tanh"

    @property
    def kind(self) -> Kind:
        """The nonlinearity."""
        return self.nonlinearity

    def label(self) -> str:
        """Return the sizes, and the nonlinearity where it is not tanh."""
        return super().label() + (" relu" if self.nonlinearity == "relu" else "")


class LstmCell(CellOp):
    """c = f c0 + i g and h = o tanh(c), with gates i, f, o and the new g of x and h0."""

    name: ClassVar[str] = "lstm_cell"
    summary: ClassVar[str] = "one step of a long short-term memory"
    gates: ClassVar[int] = 4
    states: ClassVar[tuple[str, ...]] = ("h", "c")

    @property
    def kind(self) -> Kind:
        """An LSTM's."""
        return "lstm"


class GruCell(CellOp):
    """h = (1 - z) n + z h0, with n = tanh(w_in x + b_in + r (w_hn h0 + b_hn)) and gates r and z of x and h0."""

    name: ClassVar[str] = "gru_cell"
    summary: ClassVar[str] = "one step of a gated recurrent unit"
    gates: ClassVar[int] = 3

    @property
    def kind(self) -> Kind:
        """A GRU's."""
        return "gru"
