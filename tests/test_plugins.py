"""What other packages bring: a broken entry point is tried once, warned about and left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from dlbench.plugins import PluginWarning, loaded


@dataclass(eq=False)
class Package:
    name: str = "dlbench-mine"


@dataclass(eq=False)
class Entry:
    """An entry point that gives a thing, or raises it."""

    thing: Any
    name: str = "mine"
    group: str = "dlbench.ops"
    dist: Package | None = field(default_factory=Package)
    tried: int = 0

    def load(self) -> Any:
        self.tried += 1
        if isinstance(self.thing, BaseException):
            raise self.thing
        return self.thing


def numbers(*entries: Entry) -> list[Any]:
    return list(loaded(entries, lambda thing: isinstance(thing, int), "number"))


def test_what_fits_is_given_in_its_order() -> None:
    assert numbers(Entry(3), Entry(1)) == [3, 1]


@pytest.mark.parametrize(
    ("thing", "problem"),
    [
        (ImportError("No module named 'x'"), "ImportError: No module named 'x'"),
        (AttributeError("module has no attribute"), "AttributeError: module has no attribute"),
        (SystemExit(3), "SystemExit: 3"),
        ("text", "it is 'text', which is no number"),
    ],
)
def test_what_is_broken_is_warned_about_and_the_rest_works(thing: Any, problem: str) -> None:
    told = rf"^the entry point `mine` \(dlbench.ops\) of dlbench-mine is left out: {problem}$"
    with pytest.warns(PluginWarning, match=told):
        assert numbers(Entry(1), Entry(thing), Entry(2)) == [1, 2]


def test_a_package_without_a_name_is_said_to_be_unknown() -> None:
    with pytest.warns(PluginWarning, match="of an unknown package"):
        assert numbers(Entry("text", dist=None)) == []


def test_an_entry_point_is_loaded_once() -> None:
    broken, good = Entry(ImportError("x")), Entry(7)
    for _ in range(3):
        with pytest.warns(PluginWarning):
            assert numbers(broken, good) == [7]
    assert (broken.tried, good.tried) == (1, 1)
