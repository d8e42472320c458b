"""What the decorator makes of a function: the arguments of its rows, and what its time is fitted over."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from dlbench.backends.python.benchmark import Benchmark, benchmark, benchmarks_in, doubling
from dlbench.backends.python.state import State
from dlbench.ops.function import Function, FunctionProblem
from dlbench.ops.op import DIRECTIONS
from dlbench.ops.problem import Problem


def loops(state: State) -> None:
    for _ in state:
        pass


def marked(**options: Any) -> Benchmark:
    def mine(state: State) -> None:
        loops(state)

    (made,) = benchmark(**options)(mine).__dlbench_benchmarks__  # type: ignore[attr-defined]
    assert isinstance(made, Benchmark)
    return made


def labels(**options: Any) -> list[str]:
    return [row.label() for row in marked(**options).rows]


def test_bare_it_is_one_row_without_arguments() -> None:
    @benchmark
    def mine(state: State) -> None:
        loops(state)

    (made,) = mine.__dlbench_benchmarks__  # type: ignore[attr-defined]
    assert (made.name, made.rows, made.complexity) == ("mine", (Function(function="mine"),), "")
    assert made.function is mine


def test_each_positional_argument_is_a_row() -> None:
    assert labels(args=[(8,), (64,)]) == ["8", "64"]
    assert labels(args=[8, 64]) == ["8", "64"]
    assert labels(args=[(8, "up"), (64, None)]) == ["8, up", "64, None"]


def test_a_pair_is_a_range_that_doubles_and_a_list_its_values() -> None:
    assert labels(ranges={"n": (8, 64)}) == ["n=8", "n=16", "n=32", "n=64"]
    assert labels(ranges={"n": (1, 1000)}, factor=10) == ["n=1", "n=10", "n=100", "n=1000"]
    assert labels(ranges={"n": [3, 1, 2]}) == ["n=3", "n=1", "n=2"]
    assert labels(ranges={"kind": ["up", "down"]}) == ["kind=up", "kind=down"]


def test_names_and_positions_are_crossed() -> None:
    assert labels(args=[1, 2], ranges={"n": [3, 4], "m": [5, 6]}) == [
        f"{a}, n={n}, m={m}" for a in (1, 2) for n in (3, 4) for m in (5, 6)
    ]


@pytest.mark.parametrize(
    ("pair", "factor", "values"),
    [
        ((8, 8), 2, [8]),
        ((8, 100), 2, [8, 16, 32, 64, 100]),
        ((1, 8), 8, [1, 8]),
        ((3, 100), 10, [3, 30, 100]),
    ],
)
def test_a_range_ends_at_its_end(pair: tuple[int, int], factor: int, values: list[int]) -> None:
    assert list(doubling(*pair, factor=factor)) == values


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"ranges": {"n": (8, 4)}}, ValueError, "a range goes from 1 or more"),
        ({"ranges": {"n": (0, 4)}}, ValueError, "a range goes from 1 or more"),
        ({"ranges": {"n": (1, 4)}, "factor": 1}, ValueError, "a range goes from 1 or more"),
        ({"ranges": {"n": (1, 4.5)}}, ValueError, "a range goes from 1 or more"),
        ({"ranges": {"n": (1, 4, 8)}}, ValueError, "neither a pair (8, 8192) nor a list"),
        ({"ranges": {"n": []}}, ValueError, "neither a pair (8, 8192) nor a list"),
        ({"ranges": {"n": 8}}, ValueError, "neither a pair (8, 8192) nor a list"),
        ({"ranges": {"items": (1, 8)}}, ValueError, "an argument cannot be called `items`"),
        ({"ranges": {"pause": (1, 8)}}, ValueError, "an argument cannot be called `pause`"),
        ({"ranges": {"two words": (1, 8)}}, ValueError, "an argument cannot be called `two words`"),
        ({"ranges": {"x": [object]}}, TypeError, "is no number, text or None"),
        ({"args": [([1, 2],)]}, TypeError, "is no number, text or None"),
        ({"args": "8"}, TypeError, "args='8' is no list"),
        ({"args": 8}, TypeError, "args=8 is no list"),
        ({"ranges": {"n": (1, 64)}, "complexity": "m"}, ValueError, "complexity='m' must name an argument"),
        ({"ranges": {"n": (1, 2)}, "complexity": "n"}, ValueError, "with 3 values or more"),
        ({"ranges": {"k": ["a", "b", "c"]}, "complexity": "k"}, ValueError, "all of them numbers from 1 on"),
        ({"args": [8, 16, 32], "complexity": 1}, ValueError, "complexity=1 must name an argument"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as raised:
        marked(**options)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"ranges": {"n": (8, 64)}}, "n"),
        ({"args": [1, 2, 4, 8]}, "args[0]"),
        ({"args": [(1, 5), (2, 5), (4, 5), (8, 5)]}, "args[0]"),
        ({"ranges": {"n": (8, 32)}}, ""),
        ({"ranges": {"n": (8, 64), "m": (8, 64)}}, ""),
        ({"ranges": {"n": (8, 64), "m": [3]}}, "n"),
        ({"ranges": {"n": ["a", "b", "c", "d"]}}, ""),
        ({"ranges": {"n": [0, 1, 2, 3]}}, ""),
        ({"ranges": {"n": (8, 64)}, "complexity": False}, ""),
        ({"ranges": {"n": (8, 64), "m": (8, 64)}, "complexity": "m"}, "m"),
        ({"ranges": {"n": (8, 32)}, "complexity": "n"}, "n"),
        ({"args": [(1, 5), (2, 5), (4, 6)], "complexity": 0}, "args[0]"),
    ],
)
def test_a_growth_is_fitted_over_the_one_argument_that_varies_or_over_the_one_that_is_named(
    options: dict[str, Any], argument: str
) -> None:
    assert marked(**options).complexity == argument


def test_what_is_no_plain_function_is_refused() -> None:
    async def later(state: State) -> None:
        """Nobody awaits it."""

    def yields(state: State) -> Iterator[int]:
        yield 1

    for function in (later, yields):
        with pytest.raises(TypeError, match="is async or yields"):
            benchmark(function)


def test_a_module_gives_its_own_benchmarks_in_their_order_and_under_their_names() -> None:
    @benchmark(name="first")
    @benchmark(name="second", args=[1])
    def mine(state: State) -> None:
        loops(state)

    ours = ModuleType(__name__)
    ours.mine = ours.again = mine  # type: ignore[attr-defined]
    theirs = ModuleType("theirs")
    theirs.mine = mine  # type: ignore[attr-defined]
    assert list(benchmarks_in(ours)) == ["second", "first"]
    assert benchmarks_in(theirs) == {}


class TestFunctionProblem:
    PROBLEM = FunctionProblem(Function(function="mine", args=(8, None), params={"n": 2, "kind": "up"}))

    def test_it_is_called_by_its_function_and_arguments(self) -> None:
        assert self.PROBLEM.label == "mine 8, None, n=2, kind=up"
        assert FunctionProblem(Function(function="mine")).label == "mine"
        assert self.PROBLEM.op.name == "mine"

    def test_its_arguments_are_its_parameters(self) -> None:
        assert self.PROBLEM.params == '{"args[0]": 8, "args[1]": null, "kind": "up", "n": 2}'
        other = FunctionProblem(Function(function="mine", args=(8, None), params={"kind": "up", "n": 2}))
        assert other.key == self.PROBLEM.key
        assert FunctionProblem(Function(function="mine", args=(8, 1))).key != self.PROBLEM.key

    def test_nothing_is_known_of_what_it_computes(self) -> None:
        assert (self.PROBLEM.flops, self.PROBLEM.traffic, self.PROBLEM.input_bytes) == (0, 0, 0)
        assert self.PROBLEM.inputs() == {}
        for direction in DIRECTIONS:
            assert self.PROBLEM.op.outputs(direction) == {}
            assert self.PROBLEM.op.reference(direction, {}) == {}
            assert self.PROBLEM.op.reduction_length(direction) == 1

    def test_a_worker_gets_an_equal_one(self) -> None:
        assert pickle.loads(pickle.dumps(self.PROBLEM)) == self.PROBLEM
        assert isinstance(self.PROBLEM, Problem)
