"""The inputs of losses are such that a right answer is well-conditioned, and a wrong one shows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from ragged import loss as ragged

from dlbench.ops.angular_loss import AngularSoftmax
from dlbench.ops.classification_loss import CrossEntropyLoss, HingeLoss, NllLoss, ZeroOneLoss
from dlbench.ops.dtypes import FLOATS, rounded
from dlbench.ops.loss import Loss
from dlbench.ops.metric_loss import ContrastiveLoss, TripletLoss
from dlbench.ops.op import DISTRIBUTIONS, Distribution, Op
from dlbench.ops.problem import Problem

LOSSES = tuple(op for some in ragged.RAGGED.values() for op in some if isinstance(op, Loss))


def loss(op: Op, **inputs: Any) -> float:
    given = {name: np.asarray(values, np.float64) for name, values in inputs.items()}
    return float(op.reference("forward", given)["loss"])


@pytest.mark.parametrize("data", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op", LOSSES, ids=lambda op: f"{op.name} {op.label()}")
def test_inputs_are_numbers_of_the_dtype_and_labels_are_classes(
    op: Loss, dtype: str, data: Distribution
) -> None:
    for direction in op.directions:
        problem = Problem(op, dtype, direction, data)
        inputs = problem.inputs()
        assert {name: values.shape for name, values in inputs.items()} == op.inputs(direction)
        for name, values in inputs.items():
            if problem.format(name) not in ("int64", "bool"):
                assert np.array_equal(rounded(values, dtype), values), name
        if "labels" in inputs:
            classes = op.model_dump().get("classes") or op.model_dump()["cols"]
            assert set(inputs["labels"].astype(int)) <= set(range(classes))
        if "dloss" in inputs:
            assert inputs["dloss"] >= 1


@pytest.mark.parametrize("data", DISTRIBUTIONS)
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(
    "op",
    [
        CrossEntropyLoss(rows=1, cols=2),
        NllLoss(rows=1, cols=2),
        ContrastiveLoss(n=8, dim=2),
        TripletLoss(n=1, dim=2),
        AngularSoftmax(n=1, dim=2, classes=2),
    ],
    ids=lambda op: op.name,
)
def test_a_loss_is_not_the_small_difference_of_larger_numbers(
    op: Loss, data: Distribution, seed: int
) -> None:
    """Each is compared with its reference relative to itself."""
    value = loss(op, **Problem(op, "float64", data=data).inputs(seed))
    assert value >= {"triplet_loss": 0.2, "contrastive_loss": 0.02}.get(op.name, math.log(2))


@pytest.mark.parametrize("data", DISTRIBUTIONS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_no_class_is_just_at_the_hinges_margin(dtype: str, data: Distribution) -> None:
    inputs = Problem(HingeLoss(rows=50, cols=20), dtype, data=data).inputs()
    labels = inputs["labels"].astype(int)
    own = inputs["x"][np.arange(50), labels]
    short = 1 - own[:, None] + inputs["x"]
    assert np.array_equal(rounded(short, dtype), short)
    others = short[np.arange(20) != labels[:, None]]
    assert np.abs(others).min() >= 1 / 8


@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_distances_are_on_both_sides_of_the_margin_and_not_at_it(data: Distribution) -> None:
    given = Problem(ContrastiveLoss(n=200, dim=16, margin=2.0), "bfloat16", data=data).inputs()
    d = np.linalg.norm(given["a"] - given["b"], axis=1) / 2
    assert 0.2 < d.min() < 0.8 < 1.2 < d.max() < 1.8
    assert np.abs(d - 1).min() > 0.2
    assert 50 < given["similar"].sum() < 150
    given = Problem(TripletLoss(n=200, dim=16, margin=2.0), "bfloat16", data=data).inputs()
    near, far = (np.linalg.norm(given["anchor"] - given[name], axis=1) for name in ("positive", "negative"))
    lacking = (near - far + 2) / 2
    assert np.abs(lacking).min() > 0.2
    assert 50 < (lacking > 0).sum() < 150


@pytest.mark.parametrize("data", DISTRIBUTIONS)
def test_half_of_the_rows_are_classified_rightly(data: Distribution) -> None:
    op = ZeroOneLoss(rows=1000, cols=1000)
    assert 0.4 < loss(op, **Problem(op, data=data).inputs()) < 0.6
