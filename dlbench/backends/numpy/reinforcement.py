"""The DQN's learning step by BLAS and array expressions."""

from __future__ import annotations

from typing import Any

import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.numpy.perceptron import DIRECTIONS, Layers
from dlbench.ops.problem import Problem
from dlbench.ops.reinforcement import DISCOUNT, DqnStep
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@implements("dqn_step", variant="library", directions=DIRECTIONS)
def dqn(problem: Problem, *tensors: Tensor) -> Call:
    """The batch is gathered by indexing, the networks are products by BLAS."""
    if not isinstance(problem.op, DqnStep):
        raise TypeError(f"not a DQN: {problem.op!r}")
    states, taken, rewards, following, done, indices, *weights = tensors
    count = len(weights) // 2
    online, target = Layers(weights[:count]), Layers(weights[count:])
    rows, one = np.arange(problem.op.batch), states.dtype.type(1)
    discount, n = states.dtype.type(DISCOUNT), states.dtype.type(problem.op.batch)

    def call() -> tuple[Tensor, ...]:
        ahead = target.forward(following[indices])[-1].max(axis=1)
        wanted = rewards[indices] + discount * (one - done[indices]) * ahead
        values = online.forward(states[indices])
        at = rows, taken[indices]
        off = values[-1][at] - wanted
        clipped = np.clip(off, -one, one)
        loss = (clipped * (off - clipped / 2)).mean()
        error = np.zeros_like(values[-1])
        error[at] = clipped / n
        return online.step(loss, online.backward(values, error))

    return call
