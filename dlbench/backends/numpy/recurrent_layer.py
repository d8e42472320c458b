"""One recurrent layer gone through in one direction, and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dlbench.backends.numpy.recurrent_gates import Gates, States, Tensor

Weights = Sequence[Tensor]
"""w_ih, w_hh, b_ih and b_hh, or their gradients."""


class Layer:
    """The inputs of all steps in one product of BLAS, the state's step by step.

    It reads x, steps × batch × inputs, and the first states, and writes h of every step into y, steps × batch × hidden.
    With `reverse` it begins at the last step.
    """

    def __init__(
        self, gates: Gates, weights: Weights, x: Tensor, first: States, y: Tensor, *, reverse: bool = False
    ) -> None:
        """Make room for what every step leaves."""
        steps, batch, hidden = y.shape
        self._gates, self._weights, self._x, self._first = gates, weights, x, first
        order = range(steps)[:: -1 if reverse else 1]
        self._order = tuple(zip(order, (None, *order[:-1]), strict=True))
        self._values = np.empty((steps, batch, gates.count * hidden), x.dtype)
        self._sums = np.empty(self._values.shape[1:], x.dtype)
        self._kept = np.empty((steps, batch, hidden), x.dtype)
        self._states = (y, *(np.empty((steps, batch, hidden), x.dtype) for _ in first[1:]))

    @property
    def last(self) -> States:
        """The states after the last step that is gone through."""
        return self._after(self._order[-1][0])

    def _after(self, step: int | None) -> States:
        """Return the states after a step, the first ones after none."""
        return self._first if step is None else [one[step] for one in self._states]

    def forward(self) -> None:
        """Go through all steps."""
        w_ih, w_hh, b_ih, b_hh = self._weights
        rows = self._values.reshape(-1, len(b_ih))
        np.matmul(self._x.reshape(len(rows), -1), w_ih.T, out=rows)
        np.add(rows, b_ih, out=rows)
        for step, previous in self._order:
            before = self._after(previous)
            np.matmul(before[0], w_hh.T, out=self._sums)
            np.add(self._sums, b_hh, out=self._sums)
            self._gates.step(self._values[step], self._sums, before, self._after(step), self._kept[step])

    def prepare_backward(self) -> None:
        """Go through all steps once, and make room for the way back."""
        self.forward()
        self._before = np.stack([self._after(previous)[0] for _, previous in sorted(self._order)])
        self._da = np.empty_like(self._values)
        self._db = np.empty_like(self._values) if self._gates.apart else self._da
        self._through_sums = np.empty(self._before.shape[1:], self._x.dtype)

    def backward(self, dy: Tensor | None, flowing: States, dx: Tensor, gradients: Weights) -> None:
        """Go back through all steps: the state's products step by step, all others in one for all steps.

        `flowing` holds the gradient of the last states, and afterwards that of the first; dx and the weights' gradients
        are written. dy, of y, may be None where nothing but the last state is made use of.
        """
        w_ih, w_hh, *_ = self._weights
        dh = flowing[0]
        for step, previous in reversed(self._order):
            if dy is not None:
                np.add(dh, dy[step], out=dh)
            before, after = self._after(previous), self._after(step)
            da, db = self._da[step], self._db[step]
            self._gates.back(self._values[step], self._kept[step], before, after, flowing, da, db)
            np.matmul(db, w_hh, out=self._through_sums)
            np.add(dh, self._through_sums, out=dh)
        rows = self._x.shape[0] * self._x.shape[1]
        da, db, x, h = (one.reshape(rows, -1) for one in (self._da, self._db, self._x, self._before))
        dw_ih, dw_hh, db_ih, db_hh = gradients
        np.matmul(da, w_ih, out=dx.reshape(x.shape))
        np.matmul(da.T, x, out=dw_ih)
        np.matmul(db.T, h, out=dw_hh)
        np.sum(da, axis=0, out=db_ih)
        np.sum(db, axis=0, out=db_hh)
