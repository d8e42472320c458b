"""The Suite: a named list of real problems."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from dlbench.errors import ConfigError, nearest
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.yaml import load_yaml

Params = dict[str, Any]


class SuiteProblem(BaseModel):
    """One problem of a suite: its name there, how often it occurs, and the op's parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    layer: str
    count: int = 1
    params: Params

    def matches(self, where: dict[str, Any]) -> bool:
        """Return whether every filter holds: a glob for the layer, a value or a list of values for a parameter."""
        return all(self._matches(key, wanted) for key, wanted in where.items())

    def _matches(self, key: str, wanted: Any) -> bool:
        options = wanted if isinstance(wanted, list) else [wanted]
        if key == "layer":
            return any(fnmatchcase(self.layer, str(option)) for option in options)
        return self.params.get(key) in options


class Suite(BaseModel):
    """A YAML file of problems: data, no code."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    name: str
    description: str
    op: str
    source: str
    licence: str
    totals: dict[str, Any] = {}
    problems: list[SuiteProblem]

    def parameters(self) -> set[str]:
        """Return what `where` can filter on."""
        return {"layer"}.union(*(problem.params for problem in self.problems))


def load_suite(name: str) -> Suite:
    """Return the built-in suite.

    Raises ConfigError when there is none of that name, with the nearest, or when its file is wrong.
    """
    if name not in builtin_names("suites"):
        raise ConfigError(f"no suite `{name}`", hint=nearest(name, builtin_names("suites")))
    document = load_yaml(builtin_path("suites", name))
    try:
        return Suite.model_validate(document.data)
    except ValidationError as error:
        first = error.errors()[0]
        path = tuple(first["loc"])
        raise ConfigError(
            first["msg"], file=document.file, line=document.line(path), key=".".join(map(str, path))
        ) from None
