"""The float64 maths of recurrent layers: one step of each kind and its gradient, and sequences of them.

The equations and the order of the gates are those of torch.nn.RNN, LSTM (input, forget, cell, output) and GRU (reset, update,
new), which stand one below another in a weight's rows. A step is given what the input adds to each gate, a = x w_ihᵀ +
b_ih, and what the state adds, b = h w_hhᵀ + b_hh.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from dlbench.ops.dtypes import Array

State = tuple[Array, ...]
"""h, and c of an LSTM: batch × hidden each."""
Kept = tuple[Array, ...]
"""What a step keeps for its gradient."""
Weights = tuple[Array, Array, Array, Array]
"""w_ih, w_hh, b_ih and b_hh of one layer in one direction."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One step and its gradient.

    `step` takes a, b and the state, and gives the next state and what is to be kept. `back` takes what was kept and the
    next state's gradient, and gives that of a, that of b, and that of the state but for what goes through b.
    """

    step: Callable[[Array, Array, State], tuple[State, Kept]]
    back: Callable[[Kept, State], tuple[Array, Array, State]]


def sigmoid(x: Array) -> Array:
    """Return 1 / (1 + e^-x), by the hyperbolic tangent, which does not overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


def _tanh_step(a: Array, b: Array, _: State) -> tuple[State, Kept]:
    h: Array = np.tanh(a + b)
    return (h,), (1 - h**2,)


def _relu_step(a: Array, b: Array, _: State) -> tuple[State, Kept]:
    h = np.maximum(a + b, 0)
    return (h,), ((h > 0).astype(np.float64),)


def _rnn_back(kept: Kept, gradient: State) -> tuple[Array, Array, State]:
    ((slope,), (dh,)) = kept, gradient
    da = dh * slope
    return da, da, (np.zeros_like(dh),)


def _lstm_step(a: Array, b: Array, state: State) -> tuple[State, Kept]:
    i, f, g, o = np.split(a + b, 4, axis=-1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    before = state[1]
    c = f * before + i * g
    t = np.tanh(c)
    return (o * t, c), (i, f, g, o, before, t)


def _lstm_back(kept: Kept, gradient: State) -> tuple[Array, Array, State]:
    i, f, g, o, before, t = kept
    dh, dc = gradient
    dc = dc + dh * o * (1 - t**2)
    gates = [dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g**2), dh * t * o * (1 - o)]
    da = np.concatenate(gates, axis=-1)
    return da, da, (np.zeros_like(dh), dc * f)


def _gru_step(a: Array, b: Array, state: State) -> tuple[State, Kept]:
    (a_r, a_z, a_n), (b_r, b_z, b_n) = np.split(a, 3, axis=-1), np.split(b, 3, axis=-1)
    r, z = sigmoid(a_r + b_r), sigmoid(a_z + b_z)
    n = np.tanh(a_n + r * b_n)
    (h,) = state
    return ((1 - z) * n + z * h,), (r, z, n, b_n, h)


def _gru_back(kept: Kept, gradient: State) -> tuple[Array, Array, State]:
    r, z, n, b_n, h = kept
    (dh,) = gradient
    dn = dh * (1 - z) * (1 - n**2)
    dr, dz = dn * b_n * r * (1 - r), dh * (h - n) * z * (1 - z)
    return np.concatenate([dr, dz, dn], axis=-1), np.concatenate([dr, dz, dn * r], axis=-1), (dh * z,)


KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        "tanh": Kind(_tanh_step, _rnn_back),
        "relu": Kind(_relu_step, _rnn_back),
        "lstm": Kind(_lstm_step, _lstm_back),
        "gru": Kind(_gru_step, _gru_back),
    }
)


@dataclass(frozen=True, slots=True)
class Pass:
    """One layer gone through in one direction: its states after each step, and what the steps have kept."""

    kind: Kind
    weights: Weights
    x: Array
    first: State
    states: tuple[State, ...]
    kept: tuple[Kept, ...]

    @property
    def y(self) -> Array:
        """The states h of all steps, in the order in which they were computed."""
        return np.stack([state[0] for state in self.states])

    def back(self, dy: Array, last: State) -> tuple[Array, State, Weights]:
        """Return the gradients of x, of the first state and of the weights, given those of y and of the last state."""
        w_ih, w_hh = self.weights[:2]
        dx = np.empty_like(self.x)
        gradients = tuple(np.zeros_like(one) for one in self.weights)
        dw_ih, dw_hh, db_ih, db_hh = gradients
        flowing = last
        before = (self.first, *self.states)
        for t in reversed(range(len(self.x))):
            dh, *rest = flowing
            da, db, (direct, *others) = self.kind.back(self.kept[t], (dh + dy[t], *rest))
            dx[t] = da @ w_ih
            flowing = (direct + db @ w_hh, *others)
            dw_ih += da.T @ self.x[t]
            dw_hh += db.T @ before[t][0]
            db_ih += da.sum(axis=0)
            db_hh += db.sum(axis=0)
        return dx, flowing, (dw_ih, dw_hh, db_ih, db_hh)


def run(kind: Kind, weights: Weights, x: Array, first: State) -> Pass:
    """Go through all steps of x, steps × batch × inputs, from the first state."""
    w_ih, w_hh, b_ih, b_hh = weights
    state, states, kept = first, [], []
    for inputs in x:
        state, left = kind.step(inputs @ w_ih.T + b_ih, state[0] @ w_hh.T + b_hh, state)
        states.append(state)
        kept.append(left)
    return Pass(kind, weights, x, first, tuple(states), tuple(kept))


@dataclass(frozen=True, slots=True)
class Stack:
    """Layers on one another, each gone through in one direction or both: the second one from the last step to the first."""

    passes: tuple[tuple[Pass, ...], ...]

    @property
    def y(self) -> Array:
        """The last layer's output, steps × batch × directions·hidden."""
        return _joined(self.passes[-1])

    def last(self, which: int) -> Array:
        """Return the final states h (0) or c (1), layers·directions × batch × hidden."""
        return np.stack([one.states[-1][which] for layer in self.passes for one in layer])

    def back(self, dy: Array, last: Sequence[Array]) -> tuple[Array, tuple[Array, ...], tuple[Weights, ...]]:
        """Return the gradients of x, of the first states and of the weights, given those of y and of the last states."""
        states, weights = [], []
        for layer in reversed(range(len(self.passes))):
            some = self.passes[layer]
            dx = np.zeros_like(some[0].x)
            parts = np.split(dy, len(some), axis=-1)
            for direction in reversed(range(len(some))):
                index = layer * len(some) + direction
                given = tuple(one[index] for one in last)
                way = slice(None, None, -1 if direction else 1)
                of_x, first, of_weights = some[direction].back(parts[direction][way], given)
                dx += of_x[way]
                states.append(first)
                weights.append(of_weights)
            dy = dx
        firsts = tuple(np.stack(some) for some in zip(*reversed(states), strict=True))
        return dy, firsts, tuple(reversed(weights))


def stack(kind: Kind, weights: Sequence[Sequence[Weights]], x: Array, first: Sequence[Array]) -> Stack:
    """Go through the layers, whose weights stand by layer and direction; `first` are h0 and c0."""
    passes: list[tuple[Pass, ...]] = []
    for layer, directions in enumerate(weights):
        some = []
        for direction, one in enumerate(directions):
            index = layer * len(directions) + direction
            way = slice(None, None, -1 if direction else 1)
            some.append(run(kind, one, x[way], tuple(state[index] for state in first)))
        passes.append(tuple(some))
        x = _joined(passes[-1])
    return Stack(tuple(passes))


def _joined(directions: Sequence[Pass]) -> Array:
    """Return the outputs of a layer side by side, those of the second direction put in order."""
    return np.concatenate([one.y[:: -1 if index else 1] for index, one in enumerate(directions)], axis=-1)
