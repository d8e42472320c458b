"""torch.optim's ways to make a step are asked for by their names, and the state goes on from step to step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from dlbench.backends.backend import tensors_of
from dlbench.backends.torch.backend import TorchBackend
from dlbench.ops.optimizer import Adam, Sgd
from dlbench.ops.problem import Problem

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch

WAYS = {
    "library": {},
    "plain": {"foreach": False, "fused": False},
    "foreach": {"foreach": True},
    "fused": {"fused": True},
}
SGD = Sgd(tensors=3, n=40, lr=0.1, momentum=0.5, weight_decay=0.25)
ADAM = Adam(tensors=3, n=40, lr=0.1, beta1=0.5, beta2=0.75, eps=0.125, weight_decay=0.25)
STEPS = 25


@pytest.fixture
def backend() -> Iterator[TorchBackend]:
    threads = torch.get_num_threads()
    yield TorchBackend("cpu", 1)
    torch.set_num_threads(threads)


def prepared(backend: TorchBackend, op: Sgd | Adam, variant: str) -> Any:
    problem = Problem(op, "float64")
    tensors = tensors_of(backend, problem, problem.inputs())
    return backend.find(problem, variant).prepare(problem, *tensors)


@pytest.mark.parametrize("variant", WAYS)
@pytest.mark.parametrize(
    ("op", "rates"),
    [
        (SGD, {"momentum": 0.5, "weight_decay": 0.25}),
        (ADAM, {"betas": (0.5, 0.75), "eps": 0.125, "weight_decay": 0.25}),
    ],
    ids=["sgd", "adam"],
)
def test_each_variant_asks_for_its_own_way(
    backend: TorchBackend,
    op: Sgd | Adam,
    rates: dict[str, Any],
    variant: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []
    kind = "SGD" if op is SGD else "Adam"
    monkeypatch.setattr(torch.optim, kind, lambda parameters, lr, **given: asked.append((lr, given)))
    with backend.activate(variant):
        prepared(backend, op, variant)
    assert asked == [(0.1, rates | WAYS[variant])]


@pytest.mark.parametrize("op", [SGD, ADAM], ids=["sgd", "adam"])
def test_every_way_leads_to_the_same_parameters(
    backend: TorchBackend, op: Sgd | Adam, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlbench.ops.optimizer.CHECKED_CALLS", STEPS)
    expected = op.reference("forward", Problem(op, "float64").inputs())
    for variant in WAYS:
        with backend.activate(variant):
            call = prepared(backend, op, variant)
            first = call()
            last = [call() for _ in range(STEPS - 1)][-1]
        assert all(one is other for one, other in zip(first, last, strict=True))
        for found, value in zip(last, expected.values(), strict=True):
            np.testing.assert_allclose(backend.host(found), value, rtol=1e-10, atol=1e-12)


def test_an_optimizer_is_not_compiled_since_compiling_it_is_a_step() -> None:
    mine = [one for one in TorchBackend.implementations() if one.op in ("sgd", "adam")]
    assert {one.variant for one in mine} == set(WAYS)
    assert {one.uncompiled for one in mine if one.variant == "library"} == {
        "the call that compiles it would be a step, and the state not the one whose answer is checked"
    }
