"""What a benchmark's loop costs by itself: `dlbench run examples/loops.py`."""

import dlbench


@dlbench.benchmark
def empty(state: dlbench.State) -> None:
    """An iteration in which nothing is done."""
    for _ in state:
        pass


@dlbench.benchmark
def paused(state: dlbench.State) -> None:
    """What a pause adds to an iteration's time although it is not counted itself."""
    for _ in state:
        state.pause()
        state.resume()


@dlbench.benchmark(ranges={"n": (8, 8192)})
def sort(state: dlbench.State) -> None:
    """Sorts a list anew in each iteration: the copy that it sorts is made while the stopwatch stands still."""
    numbers = [(7919 * i) % state.n for i in range(state.n)]
    for _ in state:
        state.pause()
        unsorted = numbers.copy()
        state.resume()
        unsorted.sort()
    state.items = state.n
