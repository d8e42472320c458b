"""A benchmark's loop: what is timed, what is not, and what is said of a function that is not written as one."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from dlbench.backends.python.benchmark import Benchmark, benchmark
from dlbench.backends.python.loop import Loop, LoopClock, Passed
from dlbench.backends.python.state import State
from dlbench.ops.function import Function, FunctionProblem
from dlbench.plan.case import Case, Variant
from dlbench.runner.functions import LONGEST_BATCH, FunctionBench, LoopStand, rehearsed
from dlbench.runner.printed import Printed
from dlbench.runner.protocol import Assignment, Done, Failed, Prepare, Prepared, Release, Reply, Sampled, Turn

ASSIGNMENT = Assignment("python", "cpu", threads=1, seed=0, minimum=1e-4, cache_bytes=2**16)
GIVEN = Function(function="mine", args=(3,), params={"n": 8})


class Watch:
    """A stopwatch of whole nanoseconds that stands still unless it is told to go on."""

    def __init__(self) -> None:
        self.moment = 1000

    def __call__(self) -> int:
        return self.moment

    def pass_(self, nanoseconds: int) -> None:
        self.moment += nanoseconds


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_the_loop_is_timed_and_the_set_up_is_not(watch: Watch) -> None:
    def mine(state: State) -> None:
        watch.pass_(5_000_000)
        for _ in state:
            watch.pass_(7)
        watch.pass_(9_000_000)

    loop = Loop(mine, GIVEN, watch)
    assert loop.run(1) == Passed(pytest.approx(7e-9), pytest.approx(7e-9))  # type: ignore[arg-type]
    assert loop.run(100).counted == pytest.approx(700e-9)
    loop.finish()


def test_the_set_up_is_done_once_for_all_batches() -> None:
    begun: list[int] = []

    def mine(state: State) -> None:
        begun.append(1)
        for _ in state:
            pass

    loop = Loop(mine, GIVEN)
    for iterations in (1, 10, 1000):
        loop.run(iterations)
    loop.finish()
    assert begun == [1]


def test_every_iteration_that_is_asked_for_is_made(watch: Watch) -> None:
    made: list[int] = []

    def mine(state: State) -> None:
        for _ in state:
            made.append(1)  # noqa: PERF401 - as a benchmark would

    loop = Loop(mine, GIVEN, watch)
    for iterations in (1, 4, 5, 1001):
        before = len(made)
        loop.run(iterations)
        assert len(made) - before == iterations


def test_a_paused_batch_is_the_sum_of_its_parts(watch: Watch) -> None:
    def mine(state: State) -> None:
        for _ in state:
            watch.pass_(3)
            state.pause()
            watch.pass_(1_000_000)
            state.resume()
            watch.pass_(4)

    loop = Loop(mine, GIVEN, watch)
    passed = loop.run(10)
    assert passed.counted == pytest.approx(70e-9)
    assert passed.wall == pytest.approx(10 * 1_000_007e-9)


def test_the_arguments_are_there_by_position_and_by_name() -> None:
    seen: list[object] = []

    def mine(state: State) -> None:
        seen.extend((state.args, state.n))
        with pytest.raises(AttributeError, match="the state has no `m`; this benchmark's named arguments: n"):
            state.m  # noqa: B018 - the access is the test
        with pytest.raises(AttributeError):
            state.itmes = 3  # type: ignore[attr-defined]
        for _ in state:
            pass

    Loop(mine, GIVEN)()
    assert seen == [(3,), 8]


def test_two_benchmarks_stand_in_their_loops_and_take_turns() -> None:
    order: list[str] = []

    def named(name: str) -> Callable[[State], None]:
        def function(state: State) -> None:
            for _ in state:
                order.append(name)  # noqa: PERF401 - as a benchmark would

        return function

    loops = [Loop(named(name), GIVEN) for name in "ab"]
    for loop in (*loops, *loops[::-1]):
        loop.run(2)
    assert "".join(order) == "aabbbbaa"


def test_a_loop_that_has_ended_leaves_no_thread() -> None:
    before = threading.active_count()
    loop = Loop(lambda state: [None for _ in state], GIVEN)
    loop.run(3)
    assert threading.active_count() == before + 1
    loop.finish()
    assert threading.active_count() == before


def never(state: State) -> None:
    """It forgets to loop."""


def twice(state: State) -> None:
    for _ in state:
        pass
    for _ in state:
        pass


def leaves(state: State) -> None:
    for _ in state:
        break


def returns(state: State) -> None:
    for _ in state:
        return


def stays_paused(state: State) -> None:
    for _ in state:
        state.pause()


def pauses_twice(state: State) -> None:
    for _ in state:
        state.pause()
        state.pause()


def pauses_before(state: State) -> None:
    state.pause()
    for _ in state:
        pass


def resumes_alone(state: State) -> None:
    for _ in state:
        state.resume()


def counts_words(state: State) -> None:
    for _ in state:
        pass
    state.items = "many"  # type: ignore[assignment]


def counts_backwards(state: State) -> None:
    for _ in state:
        pass
    state.flops = -1


def counts_nothing(state: State) -> None:
    for _ in state:
        pass
    state.counter["odd"] = float("nan")


def raises(state: State) -> None:
    for _ in state:
        {}["missing"]  # type: ignore[index]


def raises_after(state: State) -> None:
    for _ in state:
        pass
    assert not state.looped, "wrong answer"


def exits(state: State) -> None:
    for _ in state:
        raise SystemExit(3)


def takes_two(state: State, more: object) -> None:
    for _ in state:
        pass


MISTAKES: dict[Callable[..., None], tuple[str, str]] = {
    never: ("failed", "never loops: write `for _ in state:` around what is to be timed"),
    twice: (
        "failed",
        "loops over its state twice; a benchmark has one loop: write a second benchmark, or put both into one loop",
    ),
    leaves: ("failed", "leaves its loop before the end, by break or return: every iteration must be made"),
    returns: ("failed", "leaves its loop before the end, by break or return: every iteration must be made"),
    stays_paused: (
        "failed",
        "ends an iteration while it is paused: call state.resume() before the loop goes on",
    ),
    pauses_twice: ("failed", "calls state.pause() outside its loop, or twice"),
    pauses_before: ("failed", "calls state.pause() outside its loop, or twice"),
    resumes_alone: ("failed", "calls state.resume() without state.pause() before it"),
    counts_words: ("failed", "state.items is 'many'; a number is wanted"),
    counts_backwards: ("failed", "state.flops is -1; a number is wanted from 0 on"),
    counts_nothing: ("failed", 'state.counter["odd"] is nan; a number is wanted'),
    raises: ("failed", "KeyError: 'missing' (test_user_loops.py:"),
    raises_after: ("failed", "AssertionError: wrong answer"),
    exits: ("failed", "it calls sys.exit(3) (test_user_loops.py:"),
    takes_two: (
        "failed",
        "TypeError: takes_two() missing 1 required positional argument: 'more' (loop.py:",
    ),
}


def case(given: Function, cache: Any = "hot") -> Case:
    return Case(FunctionProblem(given), Variant("python", "file"), "cpu", cache)


@pytest.fixture
def bench() -> Iterator[Callable[..., FunctionBench]]:
    made: list[FunctionBench] = []

    def maker(*functions: Callable[..., None], printed: Callable[[], str] = str) -> FunctionBench:
        known: Mapping[str, Benchmark] = {
            one.__name__: Benchmark(one.__name__, one, (Function(function=one.__name__),))
            for one in functions
        }
        made.append(FunctionBench(ASSIGNMENT, known, settle=lambda _: None, printed=printed))
        return made[-1]

    yield maker
    for one in made:
        one.serve(Release())


def prepared(made: FunctionBench, function: Callable[..., None], **changes: Any) -> Reply:
    return made.serve(Prepare(case(Function(function=function.__name__)), 0.001, **changes))


@pytest.mark.parametrize("function", MISTAKES, ids=lambda one: one.__name__)
def test_a_function_that_is_no_benchmark_is_told_what_is_wrong(
    bench: Callable[..., FunctionBench], function: Callable[..., None]
) -> None:
    verdict, reason = MISTAKES[function]
    reply = prepared(bench(function), function)
    assert isinstance(reply, Failed)
    assert (reply.verdict, reply.lost) == (verdict, False)
    assert reply.reason.startswith(reason)


def skips(state: State) -> None:
    if not state.args:
        state.skip("only on Tuesdays")
    for _ in state:
        pass


def skips_inside(state: State) -> None:
    for _ in state:
        try:
            state.skip("too small")
        finally:
            state.items = 3


@pytest.mark.parametrize(
    ("function", "reason"),
    [(skips, "only on Tuesdays"), (skips_inside, "too small")],
    ids=["before", "inside"],
)
def test_what_is_skipped_is_unsupported_for_its_reason(
    bench: Callable[..., FunctionBench], function: Callable[..., None], reason: str
) -> None:
    assert prepared(bench(function), function) == Failed("unsupported", reason)


def steady(state: State) -> None:
    values = list(range(1000))
    for _ in state:
        sum(values)
        state.counter["sums"] = state.counter.get("sums", 0) + 1
    state.items, state.bytes, state.flops = 1000, 8000, 999


def test_a_benchmark_is_prepared_sampled_and_released(bench: Callable[..., FunctionBench]) -> None:
    made = bench(steady)
    reply = prepared(made, steady)
    assert isinstance(reply, Prepared)
    assert reply.calls > 1
    assert reply.max_rel_error is None
    assert reply.peak_memory is not None
    assert reply.details == {"items": 1000, "bytes": 8000, "flops": 999, "counters": {"sums": 1}}
    sampled = made.serve(Turn(case(Function(function="steady")).key, 0.005))
    assert isinstance(sampled, Sampled)
    assert all(0 < seconds < 0.01 for seconds in sampled.seconds)
    assert set(sampled.conditions) == {"switches", "cpu_share", "steal", "load"}
    assert made.serve(Release()) == Done()


def test_what_a_benchmark_tells_is_asked_for_once_a_run(bench: Callable[..., FunctionBench]) -> None:
    begun: list[int] = []

    def counted(state: State) -> None:
        begun.append(1)
        for _ in state:
            pass
        state.items = 1

    made = bench(counted)
    later = prepared(made, counted, weigh=False)
    assert isinstance(later, Prepared)
    assert (later.details, later.peak_memory, begun) == ({}, None, [1])
    first = prepared(made, counted, weigh=True)
    assert isinstance(first, Prepared)
    assert (first.details, len(begun)) == ({"items": 1}, 3)


def test_a_cold_sample_is_one_iteration(bench: Callable[..., FunctionBench]) -> None:
    made = bench(steady)
    cold = case(Function(function="steady"), "cold")
    reply = made.serve(Prepare(cold, 0.001))
    assert isinstance(reply, Prepared)
    assert reply.calls == 1
    assert isinstance(made.serve(Turn(cold.key, 0.001)), Sampled)


def test_a_benchmark_that_the_file_has_no_more_is_named(bench: Callable[..., FunctionBench]) -> None:
    assert prepared(bench(), steady) == Failed("failed", "the file holds no benchmark `steady` now")


def test_what_is_printed_while_a_case_is_prepared_goes_with_it(bench: Callable[..., FunctionBench]) -> None:
    reply = prepared(bench(steady, printed=lambda: "hello and 7 more lines"), steady)
    assert isinstance(reply, Prepared)
    assert reply.details["printed"] == "hello and 7 more lines"


def test_a_loop_that_is_mostly_paused_gets_a_larger_batch_but_no_longer_turn(watch: Watch) -> None:
    def mine(state: State) -> None:
        for _ in state:
            watch.pass_(1000)
            state.pause()
            watch.pass_(19_000)
            state.resume()

    stand = LoopStand(ASSIGNMENT)
    timed = stand.timed(Loop(mine, GIVEN, watch), cold=False)
    assert timed.batch.calls == 6 * 16  # 100 µs that pass, and a tenth more; of which 6 of 100 that count
    assert timed.batch.seconds == pytest.approx(timed.batch.calls * 20e-6)

    def hardly(state: State) -> None:
        for _ in state:
            watch.pass_(1)
            state.pause()
            watch.pass_(1_000_000)
            state.resume()

    short = stand.timed(Loop(hardly, GIVEN, watch), cold=False)
    assert short.batch.seconds <= LONGEST_BATCH
    assert short.batch.calls > 10


def test_warming_up_a_loop_that_is_mostly_paused_ends() -> None:
    clock = LoopClock(wall=True)

    def mine(state: State) -> None:
        for _ in state:
            state.pause()
            clock.sleep(0.002)
            state.resume()

    stand = LoopStand(ASSIGNMENT)
    loop = Loop(mine, GIVEN)
    start = clock.now()
    stand.warm_up(loop, 0.02)
    assert clock.now() - start < 5
    loop.finish()


def test_only_a_loop_is_timed_by_its_clock() -> None:
    with pytest.raises(TypeError, match="not a loop"):
        LoopClock().time(int, 1)


def test_a_benchmark_over_a_range_tells_its_argument() -> None:
    @benchmark(ranges={"n": (1, 8)})
    def sized(state: State) -> None:
        for _ in state:
            pass

    (made,) = sized.__dlbench_benchmarks__  # type: ignore[attr-defined]
    assert rehearsed(made, made.rows[0]) == {"complexity": "n"}


def test_numbers_of_numpy_become_pythons_own() -> None:
    import numpy as np

    def counts(state: State) -> None:
        for _ in state:
            pass
        state.items = np.int64(7)  # type: ignore[assignment]
        state.counter["share"] = np.float32(0.5)  # type: ignore[assignment]

    told = rehearsed(Benchmark("counts", counts, ()), Function(function="counts"))
    assert told == {"items": 7, "counters": {"share": 0.5}}
    assert [type(told["items"]), type(told["counters"]["share"])] == [int, float]


def test_the_standard_output_of_a_worker_is_taken_by_line(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = os.dup(1)
    try:
        monkeypatch.setattr(sys, "stdout", os.fdopen(1, "w", closefd=False))  # pytest's own writes elsewhere
        printed = Printed()
        assert printed() == ""
        print("hello")  # noqa: T201
        assert printed() == "hello"
        os.write(1, b"\n  from native code\nmore\n")
        assert printed() == "from native code and 1 more lines"
        assert printed() == ""
    finally:
        os.dup2(kept, 1)
        os.close(kept)
