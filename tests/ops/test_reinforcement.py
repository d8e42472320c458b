"""The DQN's learning step is the one that torch's modules, losses and optimizer take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from descent import answer, counted, descended, error_of, rectified, slope_along, tensors
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import Sequential, SmoothL1Loss

from dlbench.ops.dtypes import Array
from dlbench.ops.problem import Problem
from dlbench.ops.reinforcement import DqnStep
from dlbench.runner.verify import WrongAnswerError

small = st.integers(1, 6)
steps = st.builds(
    DqnStep, memory=st.integers(1, 9), batch=small, state_size=small, hidden_size=small, actions=small
)
Tensors = dict[str, torch.Tensor]
Learner = Callable[[DqnStep, Tensors, Sequential, Sequential], torch.Tensor]
"""The loss of a batch of transitions, from both networks."""


def inputs(op: DqnStep) -> dict[str, Array]:
    return Problem(op, "float64", "forward_backward").inputs()


def learned(op: DqnStep, given: dict[str, Array], loss: Learner) -> dict[str, Array]:
    """What a learner with that loss puts out."""
    found = tensors(given)
    at = found["indices"].long()
    replay = ("states", "taken", "rewards", "next_states", "done")
    batch = {name: found[name][at] for name in replay}
    online = rectified([found[name] for name in op.learned])
    target = rectified([found[f"target_{name}"] for name in op.learned])
    return dict(
        zip(
            op.outputs("forward_backward"),
            descended(online, loss(op, batch, online, target)),
            strict=True,
        )
    )


def huber(values: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    loss: torch.Tensor = SmoothL1Loss()(values, wanted)
    return loss


def of_taken(batch: Tensors, values: torch.Tensor) -> torch.Tensor:
    return values[torch.arange(len(values)), batch["taken"].long()]


def wanted_of(batch: Tensors, ahead: torch.Tensor) -> torch.Tensor:
    """The rewards and, where the episode goes on, what is still to come."""
    return torch.where(batch["done"] > 0, batch["rewards"], batch["rewards"] + 0.99 * ahead)


def deep_q(op: DqnStep, batch: Tensors, online: Sequential, target: Sequential) -> torch.Tensor:
    """As Mnih et al. have it."""
    with torch.no_grad():
        wanted = wanted_of(batch, target(batch["next_states"]).max(dim=1).values)
    return huber(of_taken(batch, online(batch["states"])), wanted)


@given(steps)
def test_the_step_is_torchs(op: DqnStep) -> None:
    given = inputs(op)
    expected = learned(op, given, deep_q)
    for name, one in answer(op, given).items():
        np.testing.assert_allclose(one, expected[name], rtol=1e-10, atol=1e-12, err_msg=name)


def test_the_loss_of_a_worked_example() -> None:
    """Networks of 0 but for their last biases: Q(s) is (1, 4), the target's (2, 3), so that y = r + 2.97 or r."""
    op = DqnStep(memory=3, batch=2, state_size=1, hidden_size=1, actions=2)
    given = {name: np.zeros(shape) for name, shape in op.inputs("forward_backward").items()}
    given |= {"b3": np.array([1.0, 4.0]), "target_b3": np.array([2.0, 3.0]), "indices": np.array([2.0, 0.0])}
    given |= {"taken": np.array([0.0, 0.0, 1.0]), "rewards": np.array([3.0, 9.0, 0.53])}
    given |= {"done": np.array([1.0, 0.0, 0.0])}
    found = answer(op, given)
    assert found["loss"] == pytest.approx((0.5**2 / 2 + (2 - 0.5)) / 2)  # 4 - 3.5 and 1 - 3
    assert found["db3"] == pytest.approx([-1 / 2, 0.5 / 2])
    assert found["b3_next"] == pytest.approx([1 + 0.125 / 2, 4 - 0.125 * 0.25])


@given(steps, st.integers(0, 99))
def test_the_gradients_are_those_of_finite_differences(op: DqnStep, seed: int) -> None:
    given, rng = inputs(op), np.random.default_rng(seed)
    way = {name: rng.standard_normal(shape) for name, shape in op.learned.items()}
    found = answer(op, given)
    along = sum(float((found[f"d{name}"] * one).sum()) for name, one in way.items())
    assert slope_along(op, given, way) == pytest.approx(along, rel=1e-5, abs=1e-8)


@given(steps)
def test_shapes_are_those_that_are_declared(op: DqnStep) -> None:
    given = inputs(op)
    assert {name: values.shape for name, values in given.items()} == op.inputs("forward_backward")
    found = answer(op, given)
    assert {name: values.shape for name, values in found.items()} == op.outputs("forward_backward")


@given(steps)
def test_the_operations_are_those_that_torch_counts(op: DqnStep) -> None:
    assert counted(Problem(op, "float32", "forward_backward")) == op.flops("forward_backward")


def test_counts_of_a_small_network() -> None:
    op = DqnStep(memory=11, batch=4, state_size=5, hidden_size=7, actions=3)
    forward = 2 * 4 * (5 * 7 + 7 * 7 + 7 * 3)
    assert op.flops("forward_backward") == 4 * forward - 2 * 4 * 5 * 7
    assert op.parameters() == (5 * 7 + 7) + (7 * 7 + 7) + (7 * 3 + 3) == 122
    assert op.activations() == 2 * 4 * (7 + 7 + 3)
    assert op.label() == "4 of 11, 5 → 7 → 7 → 3"
    assert op.reduction_length("forward_backward") == 3 * (5 + 7 + 7 + 3) + 4
    assert op.roundings("forward_backward") == 3 * 4 + 3


def test_bytes_are_those_of_the_sampled_transitions_alone() -> None:
    transition = 4 * (5 + 1 + 5 + 1) + 8  # state, reward, next state and done, and the action as int64
    weights = 4 * (122 + 122 + 1 + 122 + 122)  # both networks; the loss, the gradients and the weights after
    for memory in (11, 10_000):
        op = DqnStep(memory=memory, batch=4, state_size=5, hidden_size=7, actions=3)
        assert op.traffic("forward_backward", 4) == 4 * (transition + 8) + weights
    fewer = DqnStep(memory=2, batch=4, state_size=5, hidden_size=7, actions=3)
    assert fewer.traffic("forward_backward", 4) == 2 * transition + 4 * 8 + weights


def test_actions_and_indices_are_whole_numbers_within_their_ranges() -> None:
    op = DqnStep(memory=50, batch=40, state_size=2, hidden_size=2, actions=3)
    assert op.formats("forward_backward") == {"taken": "int64", "indices": "int64"}
    given = inputs(op)
    assert set(given["taken"].tolist()) == {0.0, 1.0, 2.0}
    assert given["indices"].min() >= 0
    assert given["indices"].max() < 50


@given(st.integers(1, 9), st.integers(1, 9))
def test_indices_repeat_only_where_the_batch_is_larger_than_the_memory(memory: int, batch: int) -> None:
    given = inputs(DqnStep(memory=memory, batch=batch, state_size=1, hidden_size=1, actions=1))
    repeated = len(set(given["indices"].tolist())) < batch
    assert repeated == (batch > memory)


LEARNER = DqnStep(memory=90, batch=64, state_size=6, hidden_size=16, actions=4)


def test_errors_are_on_both_sides_of_the_clip_and_some_episodes_end() -> None:
    given = inputs(LEARNER)
    at = given["indices"].astype(int)
    assert 0 < given["done"][at].sum() < 20
    assert 0.3 < (np.abs(errors(given)) < 1).mean() < 0.7


def errors(given: dict[str, Array]) -> Array:
    """Q(s, a) - y of each transition of the batch."""
    found: list[Array] = []

    def keep(op: DqnStep, batch: Tensors, online: Sequential, target: Sequential) -> torch.Tensor:
        wanted = wanted_of(batch, target(batch["next_states"]).amax(1))
        difference = of_taken(batch, online(batch["states"])) - wanted
        found.append(difference.detach().numpy())
        return difference.sum()

    learned(LEARNER, given, keep)
    return found[0]


def as_squares(op: DqnStep, batch: Tensors, online: Sequential, target: Sequential) -> torch.Tensor:
    """A loss of squares, whose errors are not clipped."""
    with torch.no_grad():
        wanted = wanted_of(batch, target(batch["next_states"]).amax(1))
    difference = of_taken(batch, online(batch["states"])) - wanted
    return difference.square().mean() / 2


def by_its_own_values(op: DqnStep, batch: Tensors, online: Sequential, target: Sequential) -> torch.Tensor:
    """The online network in the place of the target's."""
    return deep_q(op, batch, online, online)


def through_the_target(op: DqnStep, batch: Tensors, online: Sequential, target: Sequential) -> torch.Tensor:
    """A gradient that flows through the target as well, which the online network has computed."""
    wanted = wanted_of(batch, online(batch["next_states"]).amax(1))
    return huber(of_taken(batch, online(batch["states"])), wanted)


def endless(op: DqnStep, batch: Tensors, online: Sequential, target: Sequential) -> torch.Tensor:
    """Episodes that do not end."""
    return deep_q(op, {**batch, "done": torch.zeros_like(batch["done"])}, online, target)


def of_the_same_action(op: DqnStep, batch: Tensors, online: Sequential, target: Sequential) -> torch.Tensor:
    """The value of the action taken instead of the best one's."""
    with torch.no_grad():
        wanted = wanted_of(batch, of_taken(batch, target(batch["next_states"])))
    return huber(of_taken(batch, online(batch["states"])), wanted)


def test_the_right_learner_passes() -> None:
    found = learned(LEARNER, Problem(LEARNER, direction="forward_backward").inputs(), deep_q)
    assert error_of(LEARNER, lambda _: found) < 1e-6


@pytest.mark.parametrize(
    "wrong", [as_squares, by_its_own_values, through_the_target, endless, of_the_same_action]
)
def test_a_wrong_learner_is_caught(wrong: Learner) -> None:
    found = learned(LEARNER, Problem(LEARNER, direction="forward_backward").inputs(), wrong)
    with pytest.raises(WrongAnswerError, match="^output loss is "):
        error_of(LEARNER, lambda _: found)


def test_a_gradient_through_the_target_is_caught_even_where_the_loss_is_right() -> None:
    """Of a target network that has just been copied, the loss is the same."""
    given = Problem(LEARNER, direction="forward_backward").inputs()
    given |= {f"target_{name}": given[name] for name in LEARNER.learned}
    right, wrong = answer(LEARNER, given), learned(LEARNER, given, through_the_target)
    assert wrong["loss"] == pytest.approx(float(right["loss"]), rel=1e-12)
    scale = np.sqrt(np.mean(right["dw3"] ** 2))
    assert np.abs(wrong["dw3"] - right["dw3"]).max() / scale > 0.1


@pytest.mark.parametrize("bad", ["memory", "batch", "state_size", "hidden_size", "actions"])
def test_nothing_of_it_can_be_empty(bad: str) -> None:
    sizes = {"memory": 2, "batch": 2, "state_size": 2, "hidden_size": 2, "actions": 2}
    with pytest.raises(ValidationError, match=bad):
        DqnStep.model_validate(sizes | {bad: 0})
