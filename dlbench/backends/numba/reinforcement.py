"""The DQN's learning step as loops on one core."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from dlbench.backends.backend import implements
from dlbench.backends.numba.perceptron import DIRECTIONS, Layers
from dlbench.ops.problem import Problem
from dlbench.ops.reinforcement import DISCOUNT, DqnStep
from dlbench.timing.clock import Call

Tensor = np.ndarray[Any, np.dtype[Any]]


@njit(cache=True)
def _gather(memory, indices, out):  # type: ignore[no-untyped-def]  # numba infers the types
    for i in range(indices.size):
        for j in range(memory.shape[1]):
            out[i, j] = memory[indices[i], j]


@njit(cache=True)
def _huber(q, ahead, taken, rewards, done, indices, discount, error):  # type: ignore[no-untyped-def]
    n = q.dtype.type(q.shape[0])
    one, half = q.dtype.type(1), q.dtype.type(0.5)
    loss = q.dtype.type(0)
    error[...] = 0
    for i in range(indices.size):
        at = indices[i]
        most = ahead[i, 0]
        for j in range(ahead.shape[1]):
            most = max(most, ahead[i, j])
        off = q[i, taken[at]] - (rewards[at] + discount * (one - done[at]) * most)
        clipped = min(max(off, -one), one)
        loss += clipped * (off - half * clipped)
        error[i, taken[at]] = clipped / n
    return loss / n


@implements("dqn_step", variant="naive", directions=DIRECTIONS)
def dqn(problem: Problem, *tensors: Tensor) -> Call:
    """Loops that gather the batch, go through both networks, and back through the online one."""
    op = problem.op
    if not isinstance(op, DqnStep):
        raise TypeError(f"not a DQN: {op!r}")
    states, taken, rewards, following, done, indices, *weights = tensors
    count = len(weights) // 2
    online, target = Layers(op.batch, weights[:count]), Layers(op.batch, weights[count:])
    now, then = (np.empty((op.batch, op.state_size), states.dtype) for _ in range(2))
    discount = states.dtype.type(DISCOUNT)

    def call() -> tuple[Tensor, ...]:
        _gather(following, indices, then)
        _gather(states, indices, now)
        ahead, q = target.forward(then), online.forward(now)
        loss = _huber(q, ahead, taken, rewards, done, indices, discount, online.errors[-1])
        return online.step(now, loss)

    return call
