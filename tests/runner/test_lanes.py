"""Work side by side: what is told is done by one thread, in order; an error or an interruption ends all."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from dlbench.runner.lanes import Tell, side_by_side


def test_all_that_is_told_is_done_in_the_thread_that_keeps_the_books() -> None:
    done: list[tuple[str, int, int]] = []
    here = threading.get_ident()

    def work(name: str, tell: Tell) -> None:
        for number in range(100):
            tell(partial(lambda n: done.append((name, n, threading.get_ident())), number))

    side_by_side([partial(work, "a"), partial(work, "b")], lambda: None)
    assert {ident for _, _, ident in done} == {here}
    for name in ("a", "b"):
        assert [number for told, number, _ in done if told == name] == list(range(100))


def test_works_run_at_the_same_time() -> None:
    meeting = threading.Barrier(3, timeout=60)

    def work(tell: Tell) -> None:
        meeting.wait()

    side_by_side([work, work, work], lambda: None)
    assert not meeting.broken


def test_the_error_of_one_is_raised_when_all_have_ended() -> None:
    ended: list[str] = []

    def fails(tell: Tell) -> None:
        raise ZeroDivisionError("one")

    def goes_on(tell: Tell) -> None:
        tell(lambda: ended.append("told"))

    with pytest.raises(ZeroDivisionError, match="one"):
        side_by_side([fails, goes_on], lambda: None)
    assert ended == ["told"]


def test_an_interruption_stops_the_works_and_is_raised() -> None:
    stopped = threading.Event()

    def work(tell: Tell) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        tell(interrupt)
        assert stopped.wait(60)

    with pytest.raises(KeyboardInterrupt):
        side_by_side([work], stopped.set)


def test_nothing_to_do_ends_at_once_and_stops_nobody() -> None:
    stopped: list[str] = []
    side_by_side([], lambda: stopped.append("all"))
    assert stopped == []
