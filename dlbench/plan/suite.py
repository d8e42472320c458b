"""The Suite: a named list of real problems."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic import Field, ValidationError

from dlbench.errors import ConfigError, nearest
from dlbench.ops.catalogue import ops
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.explain import explained
from dlbench.plan.fields import Model, Scalar
from dlbench.plan.patterns import as_text, matches
from dlbench.plan.yaml import Document, KeyPath, load_yaml

NAMES = ("layer", "part", "application")
"""What a problem is called in its suite, which `where` filters on beside the parameters."""


class SuiteProblem(Model):
    """One problem of a suite: its name there, how often it occurs, and the parameters of its op.

    `op` is the suite's where it is not given. `part` is what the suite is divided into, such as training and inference: each
    adds up to a whole of its own, in which a layer's name occurs once. `application` is what the source names as its use.
    """

    layer: str
    op: str = ""
    part: str = ""
    application: str = ""
    count: int = Field(1, ge=1)
    params: dict[str, Scalar]

    def value(self, key: str, defaults: Mapping[str, Any]) -> str:
        """Return one of its names or a parameter as text; `defaults` are the op's own."""
        return str(getattr(self, key)) if key in NAMES else as_text(self.params.get(key, defaults.get(key)))

    def matches(self, where: Mapping[str, Sequence[Scalar]], defaults: Mapping[str, Any]) -> bool:
        """Return whether every filter holds: globs for a name, values for a parameter."""
        return all(matches(self.value(key, defaults), wanted) for key, wanted in where.items())

    def within(self, suite: str) -> str:
        """Return "deepbench_gemm/train": the suite of that name and the problem's part of it."""
        return f"{suite}/{self.part}" if self.part else suite


class Suite(Model):
    """A YAML file of problems: data, no code."""

    name: str
    description: str
    op: str
    source: str
    licence: str
    totals: dict[str, int | float] = Field(default_factory=dict)
    problems: list[SuiteProblem]

    @property
    def ops(self) -> tuple[str, ...]:
        """The ops that there are problems of, in the order in which they first occur."""
        return tuple(dict.fromkeys(problem.op for problem in self.problems))

    @property
    def names(self) -> tuple[str, ...]:
        """The names that some problem has: every one has a layer's."""
        return tuple(name for name in NAMES if any(getattr(problem, name) for problem in self.problems))


@lru_cache(maxsize=32)
def load_suite(name: str) -> Suite:
    """Return the built-in suite; each problem names its op.

    Raises ConfigError when there is none of that name, with the nearest, or when its file is wrong.
    """
    if name not in builtin_names("suites"):
        raise ConfigError(f"no suite `{name}`", hint=nearest(name, builtin_names("suites")))
    document = load_yaml(builtin_path("suites", name))
    try:
        suite = Suite.model_validate(document.data)
    except ValidationError as error:
        raise explained(error, document, {(): Suite, ("problems",): SuiteProblem}) from None
    _check_ops(suite, document)
    problems = [problem.model_copy(update={"op": problem.op or suite.op}) for problem in suite.problems]
    return suite.model_copy(update={"problems": problems})


def _check_ops(suite: Suite, document: Document) -> None:
    known = ops()
    named: dict[KeyPath, str] = {("op",): suite.op}
    named |= {
        ("problems", index, "op"): problem.op for index, problem in enumerate(suite.problems) if problem.op
    }
    for path, name in named.items():
        if name not in known:
            raise document.error(path, f"no op `{name}`", nearest(name, known))
