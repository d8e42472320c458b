"""Every wrong answer is caught before it is timed."""

from __future__ import annotations

import pytest
from dlbench_fake import FakeBackend

from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem
from dlbench.runner import verify
from dlbench.runner.verify import Verifier, WrongAnswerError

SMALL = Problem(Matmul(m=7, n=5, k=11))


def check(variant: str, problem: Problem = SMALL) -> float:
    backend = FakeBackend("cpu", 1)
    inputs = problem.inputs()
    tensors = [backend.tensor(values, problem.dtype) for values in inputs.values()]
    call = backend.find(problem, variant).prepare(problem, *tensors)
    return Verifier(problem, inputs).check(backend, tensors, call)


def test_a_right_answer_passes_with_its_error() -> None:
    assert 0 <= check("right") < 1e-6


def test_zeros_are_compared_absolutely() -> None:
    assert check("right", Problem(Matmul(m=4, n=4, k=4), data="zeros")) == 0.0


@pytest.mark.parametrize(
    ("variant", "complaint"),
    [
        ("wrong", r"output c is .* instead of .* at position 34: relative error .*, tolerance"),
        ("stale", r"output c is nan at position 0: it was not computed, or left to recycled memory"),
        ("lazy", r"output c is nan at position 30: it was not computed"),
        ("shape", r"output c is 5×7 instead of 7×5"),
        ("retyped", r"output c is float16 instead of float32"),
        ("mutates", r"changes its input a"),
    ],
)
def test_a_wrong_answer_is_caught_and_described(variant: str, complaint: str) -> None:
    with pytest.raises(WrongAnswerError, match=complaint):
        check(variant)


@pytest.mark.parametrize("variant", ["wrong", "stale", "lazy", "mutates"])
def test_a_wrong_answer_is_caught_by_sampling_too(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify, "WHOLE_REFERENCE", 0)
    with pytest.raises(WrongAnswerError):
        check(variant)


def test_a_single_wrong_element_that_sampling_misses_is_caught_by_its_projection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(verify, "WHOLE_REFERENCE", 0)
    monkeypatch.setattr(verify, "SAMPLED_OUTPUTS", 2)
    problem = Problem(Matmul(m=64, n=64, k=64))
    backend = FakeBackend("cpu", 1)
    inputs = problem.inputs()
    tensors = [backend.tensor(values, problem.dtype) for values in inputs.values()]

    def call() -> object:
        c = tensors[0] @ tensors[1]
        c[30, 31] += 1
        return c

    with pytest.raises(WrongAnswerError, match="Freivalds"):
        Verifier(problem, inputs).check(backend, tensors, call)


def test_the_number_of_outputs_is_checked() -> None:
    backend = FakeBackend("cpu", 1)
    inputs = SMALL.inputs()
    tensors = [backend.tensor(values, "float32") for values in inputs.values()]
    with pytest.raises(WrongAnswerError, match=r"returns 2 outputs instead of 1 \(c\)"):
        Verifier(SMALL, inputs).check(
            backend, tensors, lambda: (tensors[0] @ tensors[1], tensors[0] @ tensors[1])
        )
