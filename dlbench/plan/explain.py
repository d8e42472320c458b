"""Say what pydantic found wrong in the words of the file's author."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from dlbench.errors import ConfigError, nearest
from dlbench.plan.fields import shown
from dlbench.plan.yaml import Document, KeyPath

_WANTED: Mapping[str, str] = {
    "int_type": "a whole number is wanted",
    "int_from_float": "a whole number is wanted",
    "float_type": "a number is wanted",
    "bool_type": "true or false is wanted",
    "string_type": "text is wanted",
    "tuple_type": "a list is wanted",
    "list_type": "a list is wanted",
    "dict_type": "keys with values are wanted",
    "model_type": "keys with values are wanted",
}
_BOUNDS: Mapping[str, tuple[str, str]] = {
    "greater_than_equal": ("ge", "less than"),
    "greater_than": ("gt", "not more than"),
    "less_than_equal": ("le", "more than"),
    "less_than": ("lt", "not less than"),
}

Models = Mapping[tuple[str, ...], type[BaseModel]]
"""Which model stands at which place; list positions are left out of the place."""


def explained(error: ValidationError, document: Document, models: Models) -> ConfigError:
    """Return the mistake nearest to the top of the file, with the number of the others."""
    found = sorted(
        error.errors(include_url=False), key=lambda one: one["type"] == "missing"
    )  # a typo is the cause
    mistakes = [_mistake(one, document, models) for one in found]
    first = min(mistakes, key=lambda mistake: mistake.line)
    if len(mistakes) > 1:
        more = f"({len(mistakes) - 1} more after this one)"
        hint = f"{first.hint} {more}".strip()
        return ConfigError(first.problem, file=first.file, line=first.line, key=first.key, hint=hint)
    return first


def _mistake(one: Any, document: Document, models: Models) -> ConfigError:
    path = _path(one["loc"], document)
    if one["type"] == "missing":
        return document.error(path, f"`{one['loc'][-1]}` is missing")
    if one["type"] == "extra_forbidden":
        return document.error(path, "unknown key", nearest(str(path[-1]), _keys(path[:-1], models)))
    problem, _, hint = wording(one).partition("\n")
    return document.error(path, problem, hint)


def wording(one: Any) -> str:
    """Return one of pydantic's errors in plain words; a hint may follow on a second line."""
    kind, value = one["type"], one["input"]
    if kind in _WANTED:
        return f"{_WANTED[kind]}, not {shown(value)}"
    if kind in _BOUNDS:
        name, relation = _BOUNDS[kind]
        return f"{shown(value)} is {relation} {one['ctx'][name]}"
    return str(one["msg"]).removeprefix("Value error, ")


def _path(location: tuple[str | int, ...], document: Document) -> KeyPath:
    """Return the part of pydantic's location that is written in the file: it adds names of its own for choices."""
    path: KeyPath = ()
    for part in location:
        if document.holds((*path, part)):
            path = (*path, part)
    return path


def _keys(path: KeyPath, models: Models) -> list[str]:
    place = tuple(part for part in path if isinstance(part, str))
    model = models.get(place) or models[place[:-1]]
    return [info.alias or name for name, info in model.model_fields.items()]
