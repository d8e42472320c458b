"""Losses with one mistake each, and what catches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from checked import check

from dlbench.backends.backend import tensors_of
from dlbench.backends.torch.backend import TorchBackend
from dlbench.ops.angular_loss import AngularSoftmax
from dlbench.ops.classification_loss import CrossEntropyLoss, HingeLoss, NllLoss, ZeroOneLoss
from dlbench.ops.dtypes import Array
from dlbench.ops.loss import L1Loss, MseLoss
from dlbench.ops.metric_loss import CenterLoss, ContrastiveLoss, TripletLoss
from dlbench.ops.op import Direction, Distribution, Op
from dlbench.ops.problem import Problem
from dlbench.runner.verify import Verifier, WrongAnswerError


def loss(op: Op, **inputs: Any) -> float:
    given = {name: np.asarray(values, np.float64) for name, values in inputs.items()}
    return float(op.reference("forward", given)["loss"])


def centered(x: Array, labels: Array, centers: Array) -> Array:
    wrong: Array = np.square(x - centers[labels]).sum(axis=1).mean()
    return wrong


def plain_softmax(x: Array, w: Array, labels: Array) -> Array:
    logits = x @ (w / np.linalg.norm(w, axis=1, keepdims=True)).T
    return CrossEntropyLoss(rows=x.shape[0], cols=w.shape[0]).reference(
        "forward", {"x": logits, "labels": labels}
    )["loss"]


WRONG: tuple[tuple[Op, Direction, Distribution, Callable[..., Any]], ...] = (
    (MseLoss(n=1025), "forward", "normal", lambda x, t: np.square(x - t).sum()),
    (MseLoss(n=1025), "forward", "normal", lambda x, t: np.square(x - t)[:-1].mean()),
    (MseLoss(n=1025), "backward", "normal", lambda x, t, dloss: (x - t) * dloss / x.size),
    (MseLoss(n=1025), "backward", "normal", lambda x, t, dloss: 2 * (x - t) / x.size),
    (L1Loss(n=1025), "backward", "integers", lambda x, t, dloss: np.where(x >= t, 1, -1) * dloss / x.size),
    (
        ZeroOneLoss(rows=33, cols=7),
        "forward",
        "zeros",
        lambda x, labels: (6 - x[:, ::-1].argmax(axis=1) != labels).mean(),
    ),
    (
        ZeroOneLoss(rows=33, cols=7),
        "forward",
        "normal",
        lambda x, labels: (x.argmax(axis=1) == labels).mean(),
    ),
    (
        HingeLoss(rows=9, cols=33),
        "forward",
        "normal",
        lambda x, labels: np.maximum(1 - x[np.arange(9), labels][:, None] + x, 0).mean(),
    ),
    (
        CrossEntropyLoss(rows=9, cols=33),
        "forward",
        "normal",
        lambda x, labels: np.log(np.exp(x).sum(axis=1)).mean(),
    ),
    (
        CrossEntropyLoss(rows=9, cols=33),
        "backward",
        "normal",
        lambda x, labels, dloss: np.exp(x) / np.exp(x).sum(axis=1, keepdims=True) * dloss / 9,
    ),
    (NllLoss(rows=9, cols=33), "forward", "normal", lambda x, labels: x[np.arange(9), labels].mean()),
    (
        ContrastiveLoss(n=9, dim=33),
        "forward",
        "normal",
        lambda a, b, similar: loss(ContrastiveLoss(n=9, dim=33), a=a, b=b, similar=~similar),
    ),
    (
        TripletLoss(n=9, dim=33),
        "forward",
        "normal",
        lambda a, p, n: np.maximum(np.square(a - p).sum(axis=1) - np.square(a - n).sum(axis=1) + 1, 0).mean(),
    ),
    (CenterLoss(n=9, dim=17, classes=4), "forward", "normal", centered),
    (AngularSoftmax(n=9, dim=17, classes=7), "forward", "normal", plain_softmax),
)


@pytest.mark.parametrize(("op", "direction", "data", "wrong"), WRONG)
def test_a_wrong_loss_is_caught(
    op: Op, direction: Direction, data: Distribution, wrong: Callable[..., Any]
) -> None:
    problem = Problem(op, "float32", direction, data)
    with pytest.raises(WrongAnswerError, match="relative error"):
        check(problem, lambda *tensors: lambda: np.asarray(wrong(*tensors), np.float32))


def test_a_loss_of_another_shape_is_caught() -> None:
    with pytest.raises(WrongAnswerError, match="output loss is 1 instead of"):
        check(Problem(MseLoss(n=7)), lambda x, t: lambda: np.square(x - t).mean(keepdims=True))


@pytest.mark.parametrize(
    "op",
    [MseLoss(n=10**6), CrossEntropyLoss(rows=70_000, cols=3), NllLoss(rows=70_000, cols=3)],
    ids=lambda op: op.name,
)
def test_torchs_float16_keeps_a_gradient_of_many_terms(op: Op) -> None:
    """Of a mean, torch would round 2 / n to 0, and the number of rows to infinity."""
    backend, problem = TorchBackend("cpu", 1), Problem(op, "float16", "backward")
    inputs = problem.inputs()
    with backend.activate("library"):
        tensors = tensors_of(backend, problem, inputs)
        call = backend.find(problem, "library").prepare(problem, *tensors)
        assert Verifier(problem, inputs).check(backend, tensors, call) > 0
