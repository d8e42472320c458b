"""Globs over a problem's values, as `where:` and `--only` use them."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase


def as_text(value: object) -> str:
    """Return a value as YAML writes it, for a glob to be held against."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value)


def matches(value: object, globs: Iterable[object]) -> bool:
    """Return whether one of the globs, or of the alternatives in `a|b`, fits the value."""
    text = as_text(value)
    return any(fnmatchcase(text, option) for glob in globs for option in as_text(glob).split("|"))
