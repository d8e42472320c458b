"""The Suite: a named list of real problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import Field, ValidationError

from dlbench.errors import ConfigError, nearest
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.explain import explained
from dlbench.plan.fields import Model, Scalar
from dlbench.plan.patterns import as_text, matches
from dlbench.plan.yaml import load_yaml


class SuiteProblem(Model):
    """One problem of a suite: its name there, how often it occurs, and the op's parameters."""

    layer: str
    count: int = Field(1, ge=1)
    params: dict[str, Scalar]

    def value(self, key: str, defaults: Mapping[str, Any]) -> str:
        """Return the layer's name or a parameter as text; `defaults` are the op's own."""
        return self.layer if key == "layer" else as_text(self.params.get(key, defaults.get(key)))

    def matches(self, where: Mapping[str, Sequence[Scalar]], defaults: Mapping[str, Any]) -> bool:
        """Return whether every filter holds: globs for the layer, values for a parameter."""
        return all(matches(self.value(key, defaults), wanted) for key, wanted in where.items())


class Suite(Model):
    """A YAML file of problems: data, no code."""

    name: str
    description: str
    op: str
    source: str
    licence: str
    totals: dict[str, int | float] = Field(default_factory=dict)
    problems: list[SuiteProblem]


@lru_cache(maxsize=32)
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
        raise explained(error, document, {(): Suite, ("problems",): SuiteProblem}) from None
