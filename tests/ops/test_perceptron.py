"""Training steps of perceptrons are those that torch's modules, losses and optimizer take."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from descent import Answer, answer, counted, descended, error_of, linear, rectified, slope_along, tensors
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch.nn import CrossEntropyLoss, MSELoss

from dlbench.ops.dtypes import Array
from dlbench.ops.perceptron import MlpStep, PerceptronStep
from dlbench.ops.problem import Problem
from dlbench.ops.training import TrainingStep
from dlbench.runner.verify import WrongAnswerError

small = st.integers(1, 6)
perceptrons = st.builds(PerceptronStep, n=small, in_features=small, out_features=small)
networks = st.builds(
    MlpStep, n=small, in_features=small, hidden_size=small, classes=small, layers=st.integers(0, 3)
)


def inputs(op: TrainingStep) -> dict[str, Array]:
    return Problem(op, "float64", "forward_backward").inputs()


def assert_equal(found: Answer, expected: list[Array]) -> None:
    for one, other in zip(found.values(), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-12)


def test_a_perceptrons_step_of_a_worked_example() -> None:
    """A sum of 0 makes p 1/2, its error -1/2 and the slope 1/4."""
    op = PerceptronStep(n=1, in_features=2)
    x, t, w, b = np.array([[8.0, -16.0]]), np.array([[1.0]]), np.array([[2.0, 1.0]]), np.array([0.0])
    found = answer(op, {"x": x, "t": t, "w": w, "b": b})
    assert {name: one.tolist() for name, one in found.items()} == {
        "loss": 0.125,
        "dw": [[-1.0, 2.0]],
        "db": [-0.125],
        "w_next": [[2.125, 0.75]],
        "b_next": [0.015625],
    }


def test_the_loss_of_a_network_that_knows_nothing_is_the_logarithm_of_the_classes() -> None:
    op = MlpStep(n=3, in_features=2, hidden_size=4, classes=5)
    found = answer(op, {**inputs(op), "w2": np.zeros((5, 4)), "b2": np.zeros(5)})
    assert found["loss"] == pytest.approx(np.log(5), rel=1e-12)
    assert not found["dw1"].any()


@given(perceptrons)
def test_a_perceptrons_step_is_torchs(op: PerceptronStep) -> None:
    given = inputs(op)
    x, t, w, b = tensors(given).values()
    layer = linear(w, b)
    loss = MSELoss(reduction="sum")(layer(x).sigmoid(), t) / (2 * op.n)
    assert_equal(answer(op, given), descended(layer, loss))


@given(networks)
def test_a_networks_step_is_torchs(op: MlpStep) -> None:
    given = inputs(op)
    x, labels, *weights = tensors(given).values()
    net = rectified(weights)
    assert_equal(answer(op, given), descended(net, CrossEntropyLoss()(net(x), labels.long())))


@given(perceptrons | networks, st.integers(0, 99))
def test_the_gradients_are_those_of_finite_differences(op: PerceptronStep | MlpStep, seed: int) -> None:
    given, rng = inputs(op), np.random.default_rng(seed)
    way = {name: rng.standard_normal(shape) for name, shape in op.learned.items()}
    found = answer(op, given)
    along = sum(float((found[f"d{name}"] * one).sum()) for name, one in way.items())
    assert slope_along(op, given, way) == pytest.approx(along, rel=1e-5, abs=1e-8)


@given(perceptrons | networks)
def test_shapes_are_those_that_are_declared(op: PerceptronStep | MlpStep) -> None:
    given = inputs(op)
    assert {name: values.shape for name, values in given.items()} == op.inputs("forward_backward")
    found = answer(op, given)
    assert {name: values.shape for name, values in found.items()} == op.outputs("forward_backward")


@given(perceptrons | networks)
def test_the_operations_are_those_that_torch_counts(op: PerceptronStep | MlpStep) -> None:
    assert counted(Problem(op, "float32", "forward_backward")) == op.flops("forward_backward")


def test_counts_of_a_perceptron() -> None:
    op = PerceptronStep(n=5, in_features=7, out_features=3)
    assert op.flops("forward_backward") == 2 * (2 * 5 * 7 * 3)
    assert op.parameters() == 7 * 3 + 3
    assert op.activations() == 5 * 3
    assert op.traffic("forward_backward", 4) == 4 * ((5 * 7 + 5 * 3 + 24) + (1 + 24 + 24))


def test_counts_of_a_network_of_three_layers() -> None:
    op = MlpStep(n=5, in_features=7, hidden_size=6, classes=3, layers=2)
    forward = 2 * 5 * (7 * 6 + 6 * 6 + 6 * 3)
    assert op.flops("forward_backward") == 3 * forward - 2 * 5 * 7 * 6
    assert op.parameters() == (7 * 6 + 6) + (6 * 6 + 6) + (6 * 3 + 3) == 111
    assert op.activations() == 5 * (6 + 6 + 3)
    assert op.traffic("forward_backward", 4) == 4 * 5 * 7 + 8 * 5 + 4 * (111 + 1 + 2 * 111)


def test_labels_are_indices_of_classes() -> None:
    op = MlpStep(n=400, in_features=2, hidden_size=3, classes=3)
    assert op.formats("forward_backward") == {"labels": "int64"}
    assert Problem(op, "float32", "forward_backward").format("labels") == "int64"
    labels = inputs(op)["labels"]
    assert set(labels.tolist()) == {0.0, 1.0, 2.0}
    assert np.bincount(labels.astype(int)).max() >= 300


def test_a_units_targets_are_mostly_the_same_and_some_the_other_one() -> None:
    targets = inputs(PerceptronStep(n=8, in_features=2, out_features=50))["t"]
    assert set(targets.sum(axis=0).tolist()) == {2.0, 6.0}


@pytest.mark.parametrize(
    ("op", "label"),
    [
        (PerceptronStep(n=64, in_features=1024), "64×1024 → 1"),
        (MlpStep(n=64, in_features=784, hidden_size=512, classes=10), "64×784 → 512 → 10"),
        (MlpStep(n=64, in_features=784, hidden_size=512, classes=10, layers=0), "64×784 → 10"),
    ],
)
def test_the_label_is_the_batch_and_the_widths(op: TrainingStep, label: str) -> None:
    assert op.label() == label


def test_the_longest_sums_and_roundings_grow_with_the_layers() -> None:
    op = MlpStep(n=5, in_features=7, hidden_size=6, classes=3, layers=2)
    assert op.reduction_length("forward_backward") == 2 * (7 + 6 + 6 + 3) + 5
    assert op.roundings("forward_backward") == 3 * 3 + 3
    assert PerceptronStep(n=5, in_features=7, out_features=3).reduction_length("forward_backward") == 7 + 15


@pytest.mark.parametrize(
    "bad", [{"hidden_size": 0}, {"classes": 0}, {"layers": -1}, {"n": 0}, {"width": 3}, {"classes": 2.5}]
)
def test_a_network_without_units_classes_or_rows_is_refused(bad: dict[str, int | float]) -> None:
    with pytest.raises(ValidationError, match=next(iter(bad))):
        MlpStep.model_validate({"n": 2, "in_features": 3, "hidden_size": 4, "classes": 5} | bad)


def uphill(found: Answer) -> Answer:
    """The step the wrong way: w + 0.125 dw."""
    after = {name: 2 * found[f"d{name[:-5]}"] / 8 for name in found if name.endswith("_next")}
    return {name: one + after.get(name, 0) for name, one in found.items()}


def summed(n: int) -> Callable[[Answer], Answer]:
    """The gradient of the sum over the rows, not of their mean."""

    def change(found: Answer) -> Answer:
        return {name: n * one if name.startswith("d") else one for name, one in found.items()}

    return change


def still(found: Answer) -> Answer:
    """The weights as they were."""
    before = {f"{name[1:]}_next": one / 8 for name, one in found.items() if name.startswith("d")}
    return {name: one + before.get(name, 0) for name, one in found.items()}


LEARNERS = (
    PerceptronStep(n=16, in_features=9, out_features=4),
    MlpStep(n=16, in_features=9, hidden_size=8, classes=5, layers=2),
)


@pytest.mark.parametrize("op", LEARNERS)
def test_an_answer_rounded_to_float32_passes(op: TrainingStep) -> None:
    assert error_of(op, lambda found: found) < 1e-6


@pytest.mark.parametrize("op", LEARNERS)
@pytest.mark.parametrize(
    ("wrong", "output"), [(uphill, "w1?_next"), (still, "w1?_next"), (summed(16), "dw1?")]
)
def test_a_step_uphill_no_step_and_a_gradient_of_the_sum_are_caught(
    op: TrainingStep, wrong: Callable[[Answer], Answer], output: str
) -> None:
    with pytest.raises(WrongAnswerError, match=f"^output {output} is "):
        error_of(op, wrong)


def test_a_network_without_its_rectifiers_is_caught() -> None:
    op = MlpStep(n=16, in_features=9, hidden_size=8, classes=5)
    given = Problem(op, direction="forward_backward").inputs()
    x, labels, *weights = tensors(given).values()
    net = rectified(weights)
    found = descended(net, CrossEntropyLoss()(net[2](net[0](x)), labels.long()))
    straight = dict(zip(op.outputs("forward_backward"), found, strict=True))
    with pytest.raises(WrongAnswerError, match="^output loss is "):
        error_of(op, lambda _: straight)
