"""torch's recurrent layers: which operators compute them, what the loop over the steps counts, and what cuDNN is given."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from dlbench.backends.backend import tensors_of
from dlbench.backends.torch import SPEC
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.ops.recurrent import Gru, Lstm, RecurrentOp, Rnn, SequenceOp
from dlbench.ops.recurrent_cell import GruCell, LstmCell, RnnCell
from dlbench.runner.verify import Verifier, WrongAnswerError
from dlbench.timing.clock import Call

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about what it does not find on the machine
    import torch
    from torch.profiler import ProfilerActivity, profile

    from dlbench.backends.torch import recurrent

DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")
SIZES: dict[str, Any] = {"batch": 3, "input_size": 4, "hidden_size": 6}
DEEP: dict[str, Any] = {"steps": 5, "layers": 2, "bidirectional": True}
LAYERS: tuple[SequenceOp, ...] = (
    Rnn(**SIZES, **DEEP),
    Rnn(**SIZES, **DEEP, nonlinearity="relu"),
    Lstm(**SIZES, **DEEP),
    Gru(**SIZES, **DEEP),
)
EVERY: tuple[RecurrentOp, ...] = (*LAYERS, RnnCell(**SIZES), LstmCell(**SIZES), GruCell(**SIZES))


@pytest.fixture(scope="module")
def backend() -> Any:
    return SPEC.load()("cpu", 1)


def prepared(backend: Any, problem: Problem, variant: str) -> tuple[Call, list[Any]]:
    tensors = tensors_of(backend, problem, problem.inputs())
    return backend.find(problem, variant).prepare(problem, *tensors), tensors


@pytest.mark.parametrize("op", EVERY, ids=str)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_the_loop_over_the_steps_makes_the_products_that_are_counted(
    backend: Any, op: RecurrentOp, direction: Direction
) -> None:
    problem = Problem(op, direction=direction)
    with backend.activate("naive"):
        assert backend.count_flops(prepared(backend, problem, "naive")[0]) == problem.flops


@pytest.mark.parametrize(("variant", "there"), [("library", True), ("native", False), ("naive", False)])
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_onednn_computes_an_lstm_for_the_library_alone(
    backend: Any, variant: str, there: bool, direction: Direction
) -> None:
    problem = Problem(Lstm(steps=5, **SIZES), direction=direction)
    with backend.activate(variant):
        call, _ = prepared(backend, problem, variant)
        with warnings.catch_warnings(), profile(activities=[ProfilerActivity.CPU]) as seen:
            warnings.simplefilter("ignore")
            call()
    assert any("mkldnn_rnn" in event.name for event in seen.events() or ()) == there


class FakeCudnn:
    """Writes down what torch is asked to lay out for cuDNN, and does what it would do to the tensors: it moves them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[tuple[Any, ...]] = []
        monkeypatch.setattr(recurrent, "_is_cudnns", lambda x: True)
        monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", self.flatten)

    def flatten(self, weights: list[torch.Tensor], *arguments: Any) -> None:
        self.asked.append(arguments)
        for weight in weights:
            weight.set_(weight.detach().clone())  # type: ignore[call-overload]


@pytest.mark.parametrize("op", LAYERS, ids=str)
@pytest.mark.parametrize("direction", DIRECTIONS)
def test_cudnn_is_given_copies_of_the_weights_in_one_piece(
    backend: Any, monkeypatch: pytest.MonkeyPatch, op: SequenceOp, direction: Direction
) -> None:
    """As torch.nn.RNNBase.flatten_parameters asks for it: 4 weights a layer and direction, no projection, steps first."""
    fake = FakeCudnn(monkeypatch)
    problem = Problem(op, direction=direction)
    inputs = problem.inputs()
    with backend.activate("library"):
        call, tensors = prepared(backend, problem, "library")
        before = [tensor.data_ptr() for tensor in tensors]
        Verifier(problem, inputs).check(backend, tensors, call)
    mode = ("relu", "tanh", "lstm", "gru").index(op.kind)  # cudnnRNNMode_t
    assert fake.asked == [(4, 4, mode, 6, 0, 2, False, True)]
    assert [tensor.data_ptr() for tensor in tensors] == before


def test_nothing_is_laid_out_for_cudnn_on_a_processor(backend: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(torch, "_cudnn_rnn_flatten_weight", refuse)
    problem = Problem(Gru(steps=5, **SIZES))
    with backend.activate("library"):
        call, tensors = prepared(backend, problem, "library")
        Verifier(problem, problem.inputs()).check(backend, tensors, call)


def test_gates_in_another_order_are_found_by_verification(backend: Any) -> None:
    """As a library has them that puts the cell's gate before the forget gate."""
    problem = Problem(Lstm(steps=5, **SIZES))
    inputs = problem.inputs()
    order = np.r_[0:6, 12:18, 6:12, 18:24]
    other = [values[order] if len(values) == 24 else values for values in inputs.values()]
    tensors = tensors_of(backend, problem, inputs)
    with backend.activate("library"):
        moved = tensors_of(backend, problem, dict(zip(inputs, other, strict=True)))
        call = backend.find(problem, "library").prepare(problem, *moved)
        with pytest.raises(WrongAnswerError, match="output y is "):
            Verifier(problem, inputs).check(backend, tensors, call)
