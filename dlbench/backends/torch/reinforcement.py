"""The DQN's learning step through torch's autograd."""

from __future__ import annotations

import torch
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from dlbench.backends.backend import implements
from dlbench.backends.torch.perceptron import DIRECTIONS, DTYPES, UNCOMPILED, dense, fixed, step_call
from dlbench.ops.problem import Problem
from dlbench.ops.reinforcement import DISCOUNT, DqnStep
from dlbench.timing.clock import Call


@implements("dqn_step", variant="library", directions=DIRECTIONS, dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("dqn_step", variant="native", directions=DIRECTIONS, dtypes=DTYPES)
def dqn(problem: Problem, *tensors: torch.Tensor) -> Call:
    """The batch by index_select, both networks as linear layers, the target without a gradient, smooth_l1_loss."""
    if not isinstance(problem.op, DqnStep):
        raise TypeError(f"not a DQN: {problem.op!r}")
    states, taken, rewards, following, done, indices, *weights = fixed(*tensors)
    count = len(weights) // 2
    target = weights[count:]

    def loss(*online: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            ahead = dense(following.index_select(0, indices), target).amax(1)
            wanted = rewards[indices] + DISCOUNT * (1 - done[indices]) * ahead
        expected = dense(states.index_select(0, indices), online).gather(1, taken[indices][:, None])[:, 0]
        return F.smooth_l1_loss(expected, wanted)

    return step_call(loss, weights[:count])
