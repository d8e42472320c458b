"""What other packages bring by entry point; a broken one is warned about and left out, and the rest works."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, NamedTuple, Protocol


class PluginWarning(UserWarning):
    """An entry point of another package that cannot be used; the message names the package."""


class Entry(Protocol):
    """What is used of an importlib.metadata.EntryPoint."""

    def load(self) -> Any:
        """Import what it names."""

    def __hash__(self) -> int:
        """Tell it from others."""


class _Loaded(NamedTuple):
    """What an entry point names, or why it cannot be loaded."""

    thing: Any
    problem: str = ""


def loaded(entries: Iterable[Entry], fits: Callable[[Any], bool], wanted: str) -> Iterator[Any]:
    """Return what the entry points name, without those that cannot be loaded or are not what is `wanted`.

    Each of those is a PluginWarning.
    """
    for entry in entries:
        thing, problem = _load(entry)
        if not problem and not fits(thing):
            problem = f"it is {thing!r}, which is no {wanted}"
        if problem:
            warnings.warn(f"{_name(entry)} is left out: {problem}", PluginWarning, stacklevel=2)
        else:
            yield thing


@cache
def _load(entry: Entry) -> _Loaded:
    """Load an entry point once: the import of a broken one would be tried anew each time."""
    try:
        return _Loaded(entry.load())
    except (Exception, SystemExit) as error:
        return _Loaded(None, f"{type(error).__name__}: {error}")


def _name(entry: Entry) -> str:
    """Return "the entry point `mine` (dlbench.ops) of package dlbench-mine"."""
    package = getattr(getattr(entry, "dist", None), "name", "") or "an unknown package"
    return f"the entry point `{getattr(entry, 'name', '')}` ({getattr(entry, 'group', '')}) of {package}"
