from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from ragged import loss as ragged

from dlbench.backends.backend import tensors_of
from dlbench.backends.torch.backend import TorchBackend
from dlbench.ops import classification_loss
from dlbench.ops.angular_loss import AngularSoftmax, psi, psi_slope
from dlbench.ops.classification_loss import CrossEntropyLoss, HingeLoss, NllLoss, ZeroOneLoss
from dlbench.ops.dtypes import Array
from dlbench.ops.loss import L1Loss, Loss, MseLoss
from dlbench.ops.metric_loss import CenterLoss, ContrastiveLoss, TripletLoss
from dlbench.ops.op import DISTRIBUTIONS, Direction, Distribution, Op
from dlbench.ops.problem import Problem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.nn import functional

small = st.integers(1, 12)
several = st.integers(2, 12)
LOSSES = tuple(op for some in ragged.RAGGED.values() for op in some if isinstance(op, Loss))


def loss(op: Op, **inputs: Any) -> float:
    given = {name: np.asarray(values, np.float64) for name, values in inputs.items()}
    return float(op.reference("forward", given)["loss"])


def gradients(op: Op, **inputs: Any) -> dict[str, Array]:
    given = {name: np.asarray(values, np.float64) for name, values in inputs.items()}
    return op.reference("backward", given)


def test_regression_losses_of_a_worked_example() -> None:
    given = {"x": [1.0, 2.0, -3.0, 0.0], "target": [0.0, 4.0, -3.0, 1.0]}
    assert loss(MseLoss(n=4), **given) == (1 + 4 + 0 + 1) / 4
    assert loss(L1Loss(n=4), **given) == (1 + 2 + 0 + 1) / 4
    assert gradients(MseLoss(n=4), **given, dloss=2)["dx"].tolist() == [1.0, -2.0, 0.0, -1.0]
    assert gradients(L1Loss(n=4), **given, dloss=2)["dx"].tolist() == [0.5, -0.5, 0.0, -0.5]


def test_the_0_1_loss_of_a_worked_example_takes_the_first_of_equal_scores() -> None:
    x = [[3.0, 1.0, 2.0], [1.0, 5.0, 5.0], [0.0, 0.0, 0.0], [1.0, 2.0, 3.0]]
    assert loss(ZeroOneLoss(rows=4, cols=3), x=x, labels=[0, 2, 0, 1]) == 2 / 4


def test_the_hinge_loss_of_a_worked_example() -> None:
    given = {"x": [[2.0, 1.5, -1.0], [0.0, 3.0, 0.5]], "labels": [0, 2]}
    # 1 - 2 + 1.5 = 0.5 and 1 - 2 - 1 < 0; 1 - 0.5 + 0 = 0.5 and 1 - 0.5 + 3 = 3.5
    assert loss(HingeLoss(rows=2, cols=3), **given) == pytest.approx((0.5 / 3 + 4.0 / 3) / 2)
    dx = gradients(HingeLoss(rows=2, cols=3), **given, dloss=6)["dx"]
    np.testing.assert_allclose(dx, [[-1.0, 1.0, 0.0], [1.0, 1.0, -2.0]])


def test_cross_entropy_of_a_worked_example() -> None:
    x = [[5.0, 2.0, -1.0, 3.0]]
    powers = [math.exp(value) for value in x[0]]
    given: dict[str, Any] = {"x": x, "labels": [3]}
    assert loss(CrossEntropyLoss(rows=1, cols=4), **given) == pytest.approx(
        -math.log(powers[3] / sum(powers))
    )
    dx = gradients(CrossEntropyLoss(rows=1, cols=4), **given, dloss=1)["dx"]
    assert dx.round(3).tolist() == [[0.842, 0.042, 0.002, -0.886]]


def test_the_likelihood_of_a_worked_example() -> None:
    x = np.log([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
    assert loss(NllLoss(rows=2, cols=3), x=x, labels=[1, 0]) == pytest.approx(math.log(2) * 2.5)
    dx = gradients(NllLoss(rows=2, cols=3), labels=[1, 0], dloss=4)["dx"]
    assert dx.tolist() == [[0.0, -2.0, 0.0], [-2.0, 0.0, 0.0]]


def test_the_contrastive_loss_of_a_worked_example() -> None:
    given = {
        "a": [[3.0, 0.0], [3.0, 0.0], [9.0, 0.0]],
        "b": [[0.0, 4.0]] * 2 + [[0.0, 4.0]],
        "similar": [1, 0, 0],
    }
    # distances 5, 5 and 9.85: 5², (6 - 5)² and nothing
    assert loss(ContrastiveLoss(n=3, dim=2, margin=6.0), **given) == pytest.approx(26 / 3, rel=1e-6)
    found = gradients(ContrastiveLoss(n=3, dim=2, margin=6.0), **given, dloss=3)
    np.testing.assert_allclose(found["da"], [[6.0, -8.0], [-1.2, 1.6], [0.0, 0.0]], rtol=2e-6)
    assert np.array_equal(found["db"], -found["da"])


def test_the_triplet_loss_of_a_worked_example() -> None:
    given = {"anchor": [[0.0, 0.0]] * 2, "positive": [[3.0, 4.0]] * 2, "negative": [[0.0, -5.5], [0.0, -9.0]]}
    # 5 - 5.5 + 1 = 0.5, and 5 - 9 + 1 < 0
    assert loss(TripletLoss(n=2, dim=2), **given) == pytest.approx(0.25, rel=1e-5)
    found = gradients(TripletLoss(n=2, dim=2), **given, dloss=2)
    np.testing.assert_allclose(found["dpositive"], [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(found["dnegative"], [[0.0, 1.0], [0.0, 0.0]], atol=1e-6)
    np.testing.assert_allclose(found["danchor"], [[-0.6, -1.8], [0.0, 0.0]], rtol=1e-6)


def test_the_center_loss_of_a_worked_example() -> None:
    given = {"x": [[1.0, 2.0], [3.0, 4.0]], "labels": [2, 2], "centers": [[9.0, 9.0], [9.0, 9.0], [1.0, 1.0]]}
    assert loss(CenterLoss(n=2, dim=2, classes=3), **given) == (0 + 1 + 4 + 9) / 4
    found = gradients(CenterLoss(n=2, dim=2, classes=3), **given, dloss=2)
    assert found["dx"].tolist() == [[0.0, 1.0], [2.0, 3.0]]
    assert found["dcenters"].tolist() == [[0.0, 0.0], [0.0, 0.0], [-2.0, -4.0]]


def test_the_angular_softmax_of_a_worked_example() -> None:
    given = {"x": [[0.0, 2.0]], "w": [[5.0, 0.0], [0.0, 3.0]], "labels": [0]}
    # 90 degrees to the label's weights, where psi is -3, and 0 to the others: logits -6 and 2
    assert loss(AngularSoftmax(n=1, dim=2, classes=2), **given) == pytest.approx(math.log(1 + math.exp(8)))


@given(st.floats(0, math.pi))
def test_psi_is_what_its_definition_says(angle: float) -> None:
    k = min(int(angle / (math.pi / 4)), 3)
    expected = (-1) ** k * math.cos(4 * angle) - 2 * k
    assert psi(np.array([math.cos(angle)]))[0] == pytest.approx(expected, abs=1e-12)


def test_psi_falls_with_the_angle_without_a_jump_in_itself_or_its_slope() -> None:
    cosines = np.linspace(1, -1, 100_001)
    values, slopes = psi(cosines), psi_slope(cosines)
    assert (values[0], values[-1]) == (1.0, -7.0)
    assert np.diff(values).max() <= 0
    assert np.abs(np.diff(slopes)).max() < 100 * 2e-5
    np.testing.assert_allclose(np.gradient(values, cosines)[1:-1], slopes[1:-1], atol=1e-3)


def torchs(op: Any, given: Mapping[str, Array]) -> tuple[float, list[Array]]:
    """The loss and its gradients, for a dloss of 1, as torch has them."""
    tensors: dict[str, Any] = {name: torch.from_numpy(values.copy()) for name, values in given.items()}
    labels: Any = tensors.pop("labels").long() if "labels" in tensors else None
    similar: Any = tensors.pop("similar").bool() if "similar" in tensors else None
    learned = [tensors[name].requires_grad_() for name in op.learned]
    x: Any = tensors.get("x")
    match op:
        case MseLoss():
            value = functional.mse_loss(x, tensors["target"])
        case L1Loss():
            value = functional.l1_loss(x, tensors["target"])
        case HingeLoss():
            value = functional.multi_margin_loss(x, labels)
        case CrossEntropyLoss():
            value = functional.cross_entropy(x, labels)
        case NllLoss():
            value = functional.nll_loss(x, labels)
        case TripletLoss():
            anchor, positive, negative = learned
            value = functional.triplet_margin_loss(anchor, positive, negative, margin=op.margin)
        case ContrastiveLoss():
            d = functional.pairwise_distance(*tensors.values())
            value = torch.where(similar, d, (op.margin - d).clamp(min=0)).square().mean()
        case CenterLoss():
            value = (x - tensors["centers"][labels]).square().sum(1).mean() / 2
        case _:
            value = angular(x, tensors["w"], labels)
    return float(value.detach()), [one.numpy() for one in torch.autograd.grad(value, learned)]


def angular(x: Any, w: Any, labels: Any) -> Any:
    """A-Softmax by its angles."""
    lengths = x.norm(dim=1, keepdim=True)
    angles = torch.arccos((x / lengths) @ (w / w.norm(dim=1, keepdim=True)).mT)
    k = (angles / (math.pi / 4)).floor().clamp(max=3).detach()
    turned = (1 - 2 * (k % 2)) * torch.cos(4 * angles) - 2 * k
    own = functional.one_hot(labels, w.shape[0]).bool()
    return functional.cross_entropy(lengths * torch.where(own, turned, torch.cos(angles)), labels)


@st.composite
def losses(draw: st.DrawFn) -> Loss:
    kind = draw(
        st.sampled_from(sorted({type(op) for op in LOSSES} - {ZeroOneLoss}, key=lambda one: one.name))
    )
    names = [name for name in kind.model_fields if name != "margin"]
    extents = {name: draw(several if name == "dim" else small) for name in names}
    margin = {"margin": draw(st.sampled_from([0.5, 1.0, 3.0]))} if "margin" in kind.model_fields else {}
    return kind.model_validate(extents | margin)


@given(losses(), st.sampled_from(DISTRIBUTIONS))
def test_a_loss_and_its_gradients_are_torchs(op: Loss, data: Distribution) -> None:
    inputs = Problem(op, "float64", data=data).inputs()
    value, slopes = torchs(op, inputs)
    found = op.reference("forward", inputs)["loss"]
    assert found.shape == ()
    assert float(found) == pytest.approx(value, rel=1e-9, abs=1e-12)
    pool = inputs | {"dloss": np.asarray(1.0)}
    given = {name: pool[name] for name in op.inputs("backward")}
    for gradient, expected in zip(op.reference("backward", given).values(), slopes, strict=True):
        np.testing.assert_allclose(gradient, expected, rtol=1e-8, atol=1e-8)


@given(small, small, st.sampled_from(DISTRIBUTIONS))
def test_the_0_1_loss_is_the_share_of_wrong_rows(rows: int, cols: int, data: Distribution) -> None:
    op = ZeroOneLoss(rows=rows, cols=cols)
    inputs = Problem(op, "float64", data=data).inputs()
    largest = torch.from_numpy(inputs["x"]).argmax(1).numpy()
    assert loss(op, **inputs) == pytest.approx(float(np.mean(largest != inputs["labels"])))


@pytest.mark.parametrize("op", LOSSES, ids=lambda op: f"{op.name} {op.label()}")
def test_a_gradient_is_in_proportion_to_the_one_of_the_loss(op: Loss) -> None:
    if "backward" not in op.directions:
        assert isinstance(op, ZeroOneLoss)
        return
    inputs = Problem(op, "float64", "backward").inputs()
    once, twice = (op.reference("backward", inputs | {"dloss": f * inputs["dloss"]}) for f in (1, 2))
    for name, gradient in once.items():
        np.testing.assert_allclose(twice[name], 2 * gradient, rtol=1e-15)


@pytest.mark.parametrize(
    ("op", "forward", "backward"),
    [
        (MseLoss(n=10), 30, 20),
        (L1Loss(n=10), 30, 30),
        (HingeLoss(rows=3, cols=7), 63, 63),
        (CrossEntropyLoss(rows=3, cols=7), 3 * (4 * 7 + 3), 3 * (6 * 7 + 1)),
        (NllLoss(rows=3, cols=7), 3, 3),
        (ContrastiveLoss(n=3, dim=7), 3 * (4 * 7 + 5), 3 * (6 * 7 + 5)),
        (TripletLoss(n=3, dim=7), 3 * (8 * 7 + 6), 3 * (11 * 7 + 7)),
        (CenterLoss(n=3, dim=7, classes=5), 63, 63),
        (AngularSoftmax(n=3, dim=7, classes=5), 2 * 3 * 7 * 5, 4 * 3 * 7 * 5),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_operations_are_counted_as_the_docs_say(op: Op, forward: int, backward: int) -> None:
    assert (op.flops("forward"), op.flops("backward")) == (forward, backward)


def test_the_0_1_loss_counts_its_comparisons() -> None:
    assert ZeroOneLoss(rows=3, cols=7).flops("forward") == 3 * (7 + 2)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_torch_counts_the_products_of_the_angular_softmax(direction: Direction) -> None:
    backend, problem = (
        TorchBackend("cpu", 1),
        Problem(AngularSoftmax(n=3, dim=7, classes=5), direction=direction),
    )
    with backend.activate("native"):
        call = backend.find(problem, "native").prepare(
            problem, *tensors_of(backend, problem, problem.inputs())
        )
        assert backend.count_flops(call) == problem.flops


@pytest.mark.parametrize(
    ("op", "forward", "backward"),
    [
        (MseLoss(n=10), 4 * 21, 4 * 31),
        (ZeroOneLoss(rows=3, cols=7), 4 * 22 + 24, None),
        (CrossEntropyLoss(rows=3, cols=7), 4 * 22 + 24, 4 * 43 + 24),
        (NllLoss(rows=3, cols=7), 4 * (3 + 1) + 24, 4 * (1 + 21) + 24),
        (ContrastiveLoss(n=3, dim=7), 4 * 43 + 3, 4 * 85 + 3),
        (TripletLoss(n=3, dim=7), 4 * 64, 4 * 127),
        (CenterLoss(n=1, dim=7, classes=5), 4 * (7 + 7 + 1) + 8, 4 * (7 + 7 + 1 + 7 + 35) + 8),
        (AngularSoftmax(n=3, dim=7, classes=5), 4 * (21 + 35 + 1) + 24, 4 * (21 + 35 + 1 + 21 + 35) + 24),
    ],
    ids=lambda one: getattr(one, "name", ""),
)
def test_bytes_are_those_of_the_tensors_that_are_needed(op: Op, forward: int, backward: int | None) -> None:
    assert op.traffic("forward", 4) == forward
    assert backward is None or op.traffic("backward", 4) == backward


def test_labels_are_indices_and_similarity_is_a_mask() -> None:
    assert Problem(CrossEntropyLoss(rows=2, cols=3)).format("labels") == "int64"
    assert Problem(ContrastiveLoss(n=2, dim=3)).format("similar") == "bool"
    assert Problem(ContrastiveLoss(n=2, dim=3), "float16").format("loss") == "float16"


def test_labels_name_their_problems() -> None:
    assert MseLoss(n=1_000_000).label() == "1,000,000"
    assert CrossEntropyLoss(rows=128, cols=1000).label() == "128×1000"
    assert TripletLoss(n=8, dim=64).label() == "8×64"
    assert ContrastiveLoss(n=8, dim=64, margin=0.5).label() == "8×64 margin 0.5"
    assert CenterLoss(n=8, dim=64, classes=10).label() == "8×64 of 10 classes"
    assert AngularSoftmax(n=8, dim=64, classes=10).label() == "8×64 → 10"


def test_parameters_that_make_no_sense_are_refused() -> None:
    for margin in (0.0, 0.001, 101.0):
        with pytest.raises(ValidationError, match="margin"):
            ContrastiveLoss(n=1, dim=1, margin=margin)
    with pytest.raises(ValidationError, match="dim"):
        AngularSoftmax(n=1, dim=1, classes=2)
    with pytest.raises(ValidationError, match="rows"):
        NllLoss(rows=0, cols=1)


def test_the_rows_are_summed_up_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    op = CrossEntropyLoss(rows=33, cols=7)
    inputs = Problem(op, "float64").inputs()
    whole = loss(op, **inputs)
    monkeypatch.setattr(classification_loss, "CHUNK", 20)
    assert loss(op, **inputs) == pytest.approx(whole, rel=1e-14)


@pytest.mark.parametrize("op", LOSSES, ids=lambda op: f"{op.name} {op.label()}")
def test_a_sampled_output_is_that_of_the_whole(op: Loss) -> None:
    for direction in op.directions:
        inputs = Problem(op, "float64", direction).inputs()
        for name, whole in op.reference(direction, inputs).items():
            positions = np.unique([0, whole.size // 2, whole.size - 1]).astype(np.intp)
            found = op.reference_at(direction, inputs, name, positions)
            assert np.array_equal(found, whole.ravel()[positions])
