"""Work that goes on side by side in threads, while one thread keeps the books."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from functools import partial

Entry = Callable[[], None]
"""Something to be done by the thread that keeps the books: a store and a terminal belong to one thread."""
Tell = Callable[[Entry], None]
Work = Callable[[Tell], None]

_WAIT = 0.2
"""Seconds between two looks at whether Ctrl-C was pressed: a thread that waits for ever does not see it on every system."""


def side_by_side(works: Sequence[Work], stop: Callable[[], None]) -> None:
    """Do the works in threads of their own, and what they tell in this one, in the order told.

    When a work fails, or this thread is interrupted, `stop` must make the others end soon; the first error is raised
    when all have ended.
    """
    told: queue.SimpleQueue[Entry | None] = queue.SimpleQueue()
    failures: list[BaseException] = []
    threads = [threading.Thread(target=partial(_do, work, told, failures), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    try:
        _keep_the_books(told, len(threads))
    except BaseException:
        stop()
        raise
    finally:
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def _do(work: Work, told: queue.SimpleQueue[Entry | None], failures: list[BaseException]) -> None:
    try:
        work(told.put)
    except BaseException as error:  # raised again by the thread that waits for this one
        failures.append(error)
    finally:
        told.put(None)


def _keep_the_books(told: queue.SimpleQueue[Entry | None], working: int) -> None:
    while working:
        try:
            entry = told.get(timeout=_WAIT)
        except queue.Empty:
            continue
        if entry is None:
            working -= 1
        else:
            entry()
