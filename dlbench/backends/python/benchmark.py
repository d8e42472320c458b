"""The decorator that makes a function a benchmark, and what it says of it."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal, TypeVar, overload

from dlbench.backends.python.loop import Benchmarked
from dlbench.backends.python.state import State
from dlbench.ops.function import Argument, Function

F = TypeVar("F", bound=Benchmarked)
Args = Sequence[Sequence[Argument] | Argument]
Ranges = Mapping[str, tuple[int, int] | list[Argument]]
Complexity = str | int | Literal[False] | None

FEWEST = 3
"""Sizes behind a complexity that is asked for: two lie on any line."""
ENOUGH = 4
"""Sizes from which a complexity is fitted unasked."""
_MARK = "__dlbench_benchmarks__"
_RESERVED = frozenset(name for name in dir(State) if not name.startswith("__"))


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A function, the arguments of each of its rows, and the one that its complexity is fitted over, empty for none."""

    name: str
    function: Benchmarked
    rows: tuple[Function, ...]
    complexity: str = ""


@overload
def benchmark(function: F, /) -> F: ...
@overload
def benchmark(
    *,
    args: Args = (),
    ranges: Ranges | None = None,
    factor: int = 2,
    complexity: Complexity = None,
    name: str = "",
) -> Callable[[F], F]: ...
def benchmark(
    function: F | None = None,
    /,
    *,
    args: Args = (),
    ranges: Ranges | None = None,
    factor: int = 2,
    complexity: Complexity = None,
    name: str = "",
) -> F | Callable[[F], F]:
    """Mark `function(state)` as a benchmark that `dlbench run FILE.py` finds.

    `args` are the positional arguments of each row, `state.args`. `ranges` are named ones: a pair `(8, 8192)` stands for 8,
    8·factor, … and always 8192, a list for its values; `state.n` is that of the name `n`. Everything is crossed.
    `complexity` names the argument that the time's growth is fitted over, a name or the position of one in `args`; where it
    is None, one argument alone that has at least four values is taken, and False is never. `name` is the function's own by
    default. Raises ValueError or TypeError for what makes no sense.
    """

    def mark(function: F) -> F:
        if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
            raise TypeError(f"{function.__name__} is async or yields; a benchmark is a plain function")
        called = name or function.__name__
        rows = tuple(_rows(called, args, ranges or {}, factor))
        made = Benchmark(called, function, rows, _over(rows, complexity))
        setattr(function, _MARK, (*getattr(function, _MARK, ()), made))
        return function

    return mark if function is None else mark(function)


def benchmarks_in(module: ModuleType) -> dict[str, Benchmark]:
    """Return the benchmarks that stand in a module, by name, in their order.

    Raises ValueError where two have one name.
    """
    found: dict[str, Benchmark] = {}
    for member in vars(module).values():
        if getattr(member, "__module__", None) != module.__name__:
            continue
        for one in getattr(member, _MARK, ()):
            if one.name in found and found[one.name] is not one:
                raise ValueError(f"two benchmarks are called `{one.name}`; give one of them another name=")
            found[one.name] = one
    return found


def _rows(name: str, args: Any, ranges: Ranges, factor: int) -> Iterator[Function]:
    """Return the arguments of every row: each of `args` with each combination of `ranges`."""
    if not isinstance(args, list | tuple | range):
        raise TypeError(f"args={args!r} is no list; write args=[(8,), (64,)]")
    starts = [_positional(one) for one in args] or [()]
    axes = [[(key, value) for value in _values(key, given, factor)] for key, given in ranges.items()]
    for start in starts:
        for chosen in itertools.product(*axes):
            yield Function(function=name, args=start, params=dict(chosen))


def _positional(given: Sequence[Argument] | Argument) -> tuple[Argument, ...]:
    several = given if isinstance(given, list | tuple) else (given,)
    return tuple(_plain("args", value) for value in several)


def _values(name: str, given: Any, factor: int) -> list[Argument]:
    if not name.isidentifier() or name in _RESERVED:
        raise ValueError(f"ranges: an argument cannot be called `{name}`")
    if isinstance(given, tuple) and len(given) == 2:
        return list(doubling(*given, factor=factor))
    if not isinstance(given, list | range) or not given:
        raise ValueError(f"ranges: {name}={given!r} is neither a pair (8, 8192) nor a list of values")
    return [_plain(name, value) for value in given]


def _plain(name: str, value: object) -> Argument:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{name}: {value!r} is no number, text or None; make what is larger in the benchmark")


def doubling(first: Any, last: Any, *, factor: Any = 2) -> Iterator[int]:
    """Return first, first·factor, … below `last`, and `last`. Raises ValueError where that never ends or is empty."""
    whole = all(isinstance(one, int) and not isinstance(one, bool) for one in (first, last, factor))
    if not whole or first < 1 or factor < 2 or last < first:
        raise ValueError(
            f"a range goes from 1 or more up to no less, by a factor of 2 or more, not ({first}, {last}) by {factor}"
        )
    while first < last:
        yield first
        first *= factor
    yield last


def _over(rows: Sequence[Function], asked: Complexity) -> str:
    """Return the name of the argument that a complexity is fitted over, empty for none."""
    if asked is False:
        return ""
    values: dict[str, set[Argument]] = {}
    for row in rows:
        for name, value in row.arguments.items():
            values.setdefault(name, set()).add(value)
    if asked is None:
        varying = [name for name, found in values.items() if len(found) > 1]
        return varying[0] if len(varying) == 1 and _sizes(values[varying[0]], ENOUGH) else ""
    name = f"args[{asked}]" if isinstance(asked, int) else asked
    if name not in values or not _sizes(values[name], FEWEST):
        raise ValueError(
            f"complexity={asked!r} must name an argument with {FEWEST} values or more, all of them numbers from 1 on"
        )
    return name


def _sizes(values: set[Argument], fewest: int) -> bool:
    numbers = [one for one in values if isinstance(one, int | float) and not isinstance(one, bool)]
    return len(numbers) == len(values) >= fewest and min(numbers) >= 1
