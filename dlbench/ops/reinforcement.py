"""The learning step of a deep Q-network (V. Mnih et al., Human-level control through deep reinforcement learning, 2015)."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar

import numpy as np

from dlbench.ops.dtypes import Array, rounded
from dlbench.ops.extent import Extent
from dlbench.ops.op import Direction, Distribution, Shape, draw
from dlbench.ops.training import (
    TrainingStep,
    dense_backward,
    dense_flops,
    dense_forward,
    dense_inputs,
    dense_shapes,
    dense_weights,
    off_the_kinks,
    rare_rows,
)

DISCOUNT = 0.99
"""Of the reward a step later (Mnih et al. 2015, extended data table 1)."""
HIDDEN_LAYERS = 2
"""As small control tasks have it; the pixels of Mnih et al. go through convolutions first, which are ops of their own."""
REWARD = 1.0
"""What the rewards drawn are about, or minus that: errors are then on both sides of 1, where the Huber loss becomes linear,
and none is about 0, since the networks' values are small."""
ENDING = 0.1
"""The share of transitions drawn that end an episode."""


class DqnStep(TrainingStep):
    """A Q-network learns from a batch that is sampled from the replay memory.

    The batch is gathered from `memory` transitions by the given indices. With y = r + 0.99·(1 - done)·max of the target
    network's Q(s') over the actions, the loss is the mean Huber loss of Q(s, a) - y (d² / 2 up to |d| = 1, |d| - 1/2 beyond:
    the error clipped to [-1, 1]); only the online network learns. Both networks have two hidden layers of hidden_size units
    with rectifiers. FLOPs are those of the products: three passes through the online network but for the gradient of s, one
    through the target network. Indices repeat only where the batch is larger than the memory.
    """

    name: ClassVar[str] = "dqn_step"
    summary: ClassVar[str] = "a learning step of a deep Q-network"

    memory: Extent
    batch: Extent
    state_size: Extent
    hidden_size: Extent
    actions: Extent

    @property
    def widths(self) -> tuple[int, ...]:
        """The state, the hidden layers' units, and the actions."""
        return (self.state_size, *(self.hidden_size,) * HIDDEN_LAYERS, self.actions)

    @property
    def learned(self) -> dict[str, Shape]:
        """The online network's w1, b1, …"""
        return dense_shapes(self.widths)

    def label(self) -> str:
        """Return "32 of 10000, 84 → 256 → 256 → 6"."""
        return f"{self.batch} of {self.memory}, " + " → ".join(map(str, self.widths))

    def inputs(self, direction: Direction) -> dict[str, Shape]:  # noqa: ARG002 - there is one
        """Return the replay memory, the indices of the batch, and the weights of the online and the target network."""
        states = (self.memory, self.state_size)
        replay: dict[str, Shape] = {
            "states": states,
            "taken": (self.memory,),
            "rewards": (self.memory,),
            "next_states": states,
            "done": (self.memory,),
        }
        return {**replay, "indices": (self.batch,), **self.learned, **dense_shapes(self.widths, "target_")}

    def formats(self, direction: Direction) -> Mapping[str, str]:  # noqa: ARG002 - there is one
        """Return that actions taken and indices are int64."""
        return {"taken": "int64", "indices": "int64"}

    def traffic(self, direction: Direction, itemsize: int) -> int:
        """Return the bytes of the sampled transitions, the weights and the outputs; the rest of the memory is not read."""
        whole = super().traffic(direction, itemsize)
        unread = self.memory - min(self.memory, self.batch)
        return whole - unread * (itemsize * (2 * self.state_size + 2) + 8)

    def activations(self) -> int:
        """Return what the layers of both networks put out."""
        return 2 * self.batch * sum(self.widths[1:])

    def flops(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return 2·batch·(4·inputs·outputs) summed over the layers, less the first one's gradient of s."""
        target = sum(before * after for before, after in pairwise(self.widths))
        return dense_flops(self.batch, self.widths) + 2 * self.batch * target

    def reduction_length(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return the terms of the sums of both networks, forward and backward, and those over the batch."""
        return 3 * sum(self.widths) + self.batch

    def roundings(self, direction: Direction) -> int:  # noqa: ARG002 - there is one
        """Return three for each layer's way up and down, and those of the target."""
        return 3 * len(self.widths) + 3

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:  # noqa: ARG002
        """Return the loss, the gradients and the online network's weights after the step."""
        at = inputs["indices"].astype(np.intp)
        rows = np.arange(self.batch)
        weights = [inputs[name] for name in self.learned]
        target = [inputs[f"target_{name}"] for name in self.learned]
        ahead = dense_forward(inputs["next_states"][at], target)[-1].max(axis=1)
        wanted = inputs["rewards"][at] + DISCOUNT * (1 - inputs["done"][at]) * ahead
        values = dense_forward(inputs["states"][at], weights)
        taken = inputs["taken"][at].astype(np.intp)
        difference = values[-1][rows, taken] - wanted
        size = np.abs(difference)
        loss = np.where(size <= 1, difference**2 / 2, size - 0.5).mean()
        error = np.zeros_like(values[-1])
        error[rows, taken] = np.clip(difference, -1, 1) / self.batch
        return self.result(loss, weights, dense_backward(values, weights, error))

    def make_inputs(
        self,
        direction: Direction,  # noqa: ARG002 - there is one
        dtype: str,
        distribution: Distribution,
        rng: np.random.Generator,
    ) -> dict[str, Array]:
        """Return a random replay memory, a batch from it without repetition where it is large enough, and two networks.

        Rewards are about 1, a quarter of them about -1; one transition in ten is an episode's last. No unit of the online
        network is at its rectifier's kink.
        """
        shape = self.memory, self.state_size
        states, following = (dense_inputs(shape, dtype, distribution, rng) for _ in range(2))
        rewards = np.where(rare_rows(self.memory, 1, rng)[:, 0], -REWARD, REWARD)
        indices = rng.choice(self.memory, self.batch, replace=self.batch > self.memory)
        learned = dense_weights(self.learned, dtype, rng)
        return {
            "states": states,
            "taken": rng.integers(0, self.actions, self.memory).astype(np.float64),
            "rewards": rounded(rewards + draw((self.memory,), "normal", rng) / 4, dtype),
            "next_states": following,
            "done": (rng.random(self.memory) < ENDING).astype(np.float64),
            "indices": indices.astype(np.float64),
            **off_the_kinks(states[indices], learned, dtype),
            **dense_weights(dense_shapes(self.widths, "target_"), dtype, rng),
        }
