"""Every wrong answer is caught before it is timed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pytest
from dlbench_fake import FakeBackend

from dlbench.backends.backend import Prepare, tensors_of
from dlbench.backends.numpy.backend import NumpyBackend
from dlbench.ops.dtypes import Array
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import CHECKED_CALLS, Direction, Distribution, Op, Shape
from dlbench.ops.problem import Problem
from dlbench.runner import verify
from dlbench.runner.verify import Verifier, WrongAnswerError
from dlbench.timing.clock import Call

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


class Small(Op):
    """What the ops below share: n numbers in, n out, nothing summed."""

    n: int = 50

    def label(self) -> str:
        return str(self.n)

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        return {"x": (self.n,)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        return {"y": (self.n,)}

    def flops(self, direction: Direction) -> int:
        return self.n

    def reduction_length(self, direction: Direction) -> int:
        return 1


class Millions(Small):
    """x, and the index of x among millions, picked by a mask."""

    name: ClassVar[str] = "millions"

    def inputs(self, direction: Direction) -> dict[str, Shape]:
        return {"x": (self.n,), "index": (self.n,), "mask": (self.n,)}

    def outputs(self, direction: Direction) -> dict[str, Shape]:
        return {"y": (self.n,), "index_out": (self.n,), "mask_out": (self.n,)}

    def formats(self, direction: Direction) -> Mapping[str, str]:
        return {"index": "int64", "mask": "bool", "index_out": "int64", "mask_out": "bool"}

    def make_inputs(
        self, direction: Direction, dtype: str, distribution: Distribution, rng: np.random.Generator
    ) -> dict[str, Array]:
        drawn = {"index": rng.integers(10**9, 2 * 10**9, self.n), "mask": rng.integers(0, 2, self.n)}
        values = {name: value.astype(np.float64) for name, value in drawn.items()}
        return super().make_inputs(direction, dtype, distribution, rng) | values

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {
            "y": inputs["x"],
            "index_out": inputs["index"] * inputs["mask"],
            "mask_out": 1 - inputs["mask"],
        }


def millions(**wrong: Any) -> Prepare:
    """Right outputs, and those that are given in place of them, made of the right ones."""

    def prepare(problem: Problem, x: Any, index: Any, mask: Any) -> Call:
        def call() -> Any:
            right = {"y": x.copy(), "index_out": index * mask, "mask_out": ~mask}
            return tuple(wrong[name](value) if name in wrong else value for name, value in right.items())

        return call

    return prepare


def one_more(values: Any) -> Any:
    values[17] += 1
    return values


def verified(op: Op, prepare: Prepare, data: Distribution = "normal") -> float:
    """The error of a call on numpy's arrays, each in its format."""
    backend, problem = NumpyBackend("cpu", 1), Problem(op, data=data)
    inputs = problem.inputs()
    tensors = tensors_of(backend, problem, inputs)
    return Verifier(problem, inputs).check(backend, tensors, prepare(problem, *tensors))


def test_each_tensor_is_given_in_its_own_format() -> None:
    given: list[str] = []

    def prepare(problem: Problem, *tensors: Any) -> Call:
        given.extend(str(tensor.dtype) for tensor in tensors)
        return millions()(problem, *tensors)

    assert verified(Millions(), prepare) == 0
    assert given == ["float32", "int64", "bool"]


@pytest.mark.parametrize("limit", [0, verify.WHOLE_REFERENCE])
@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        ({"index_out": one_more}, r"^output index_out is .* at position 17: relative error .*e-10, tolerance 0$"),
        ({"mask_out": lambda mask: ~mask}, r"^output mask_out is [01] instead of [01] at position 0: .* tolerance 0$"),
        ({"index_out": lambda index: index.astype("int32")}, r"^output index_out is int32 instead of int64$"),
        ({"mask_out": lambda mask: mask.astype("int64")}, r"^output mask_out is int64 instead of bool$"),
        ({"y": lambda y: y.astype("float64")}, r"^output y is float64 instead of float32$"),
    ],
)  # fmt: skip
def test_integers_and_masks_are_compared_exactly(
    wrong: dict[str, Any], complaint: str, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(verify, "WHOLE_REFERENCE", limit)
    assert verified(Millions(), millions()) == 0
    with pytest.raises(WrongAnswerError, match=complaint):
        verified(Millions(), millions(**wrong))


def test_floats_beside_integers_keep_their_tolerance() -> None:
    assert 0 < verified(Millions(), millions(y=lambda y: np.nextafter(y, np.float32(9)))) < 1e-6


@pytest.mark.parametrize("data", ["normal", "zeros"])
def test_integers_left_from_a_call_before_are_caught(data: Distribution) -> None:
    """The mask as well, if not by itself: true, which it is filled with, is right for half of it."""

    def prepare(problem: Problem, x: Any, index: Any, mask: Any) -> Call:
        index_out = index * mask
        return lambda: (x.copy(), index_out, ~mask)

    def stale_mask(problem: Problem, x: Any, index: Any, mask: Any) -> Call:
        mask_out = ~mask
        return lambda: (x.copy(), index * mask, mask_out)

    with pytest.raises(WrongAnswerError, match=r"^output index_out is -9.22337e\+18 instead of"):
        verified(Millions(), prepare, data)
    with pytest.raises(WrongAnswerError, match=r"^output mask_out is 1 instead of 0"):
        verified(Millions(), stale_mask, data)


class Root(Small):
    """y with y² = x², of whatever sign, but never -0.5."""

    name: ClassVar[str] = "root"
    order: ClassVar[list[str]] = []

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {"y": inputs["x"] ** 2}

    def seen(
        self, direction: Direction, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> Mapping[str, Array]:
        self.order.append("seen")
        assert np.array_equal(inputs["x"], Problem(self).inputs()["x"])
        return {"y": outputs["y"] ** 2}

    def complaint(
        self, direction: Direction, inputs: Mapping[str, Array], outputs: Mapping[str, Array]
    ) -> str:
        self.order.append("complaint")
        return "-0.5 has no place here" if (outputs["y"] == -0.5).any() else ""


def test_several_right_answers_are_seen_as_one() -> None:
    for right in (np.positive, np.negative, np.abs):
        assert verified(Root(), lambda problem, x, right=right: lambda: right(x)) < 1e-6
    with pytest.raises(WrongAnswerError, match=r"output y is .* instead of"):
        verified(Root(), lambda problem, x: lambda: 2 * x)


def test_what_cannot_be_seen_is_complained_of_first() -> None:
    def prepare(problem: Problem, x: Any) -> Call:
        return lambda: np.full_like(x, -0.5)

    Root.order.clear()
    with pytest.raises(WrongAnswerError, match=r"^-0.5 has no place here$"):
        verified(Root(), prepare)
    assert Root.order == ["complaint"]
    Root.order.clear()
    verified(Root(), lambda problem, x: lambda: -x)
    assert Root.order == ["complaint", "seen"]


class Running(Small):
    """y, 0 at first, to which each call adds x."""

    name: ClassVar[str] = "running"
    stateful: ClassVar[bool] = True

    def reference(self, direction: Direction, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return {"y": CHECKED_CALLS * inputs["x"]}


class Once(Running):
    """The same for an op that is said to have no state."""

    name: ClassVar[str] = "once"
    stateful: ClassVar[bool] = False


def running(problem: Problem, x: Any) -> Call:
    y = np.zeros_like(x)

    def call() -> Any:
        y[:] += x
        return y

    return call


def test_a_state_goes_on_from_call_to_call_and_is_left_as_it_is() -> None:
    assert verified(Running(), running) == 0
    with pytest.raises(WrongAnswerError, match=r"^output y is nan at position 0"):
        verified(Once(), running)


@pytest.mark.parametrize("steps", [(0, 0), (1, 0), (1, 2)])
def test_a_state_that_makes_another_number_of_steps_is_caught(steps: tuple[int, int]) -> None:
    def prepare(problem: Problem, x: Any) -> Call:
        y, left = np.zeros_like(x), iter(steps)

        def call() -> Any:
            y[:] += next(left) * x
            return y

        return call

    with pytest.raises(WrongAnswerError, match=r"^output y is .* instead of .* at position"):
        verified(Running(), prepare)


def test_a_state_that_is_the_input_is_caught() -> None:
    def prepare(problem: Problem, x: Any) -> Call:
        def call() -> Any:
            x[:] += 1
            return x

        return call

    with pytest.raises(WrongAnswerError, match=r"^changes its input x"):
        verified(Running(), prepare)
