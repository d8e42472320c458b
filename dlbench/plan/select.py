"""Choose cases by pattern, as `--only` does."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlbench.errors import SelectionError, nearest
from dlbench.ops.catalogue import ops
from dlbench.ops.function import Function
from dlbench.ops.op import Op
from dlbench.plan.case import Case
from dlbench.plan.patterns import as_text, matches

COLUMNS = (
    "op",
    "variant",
    "backend",
    "layer",
    "suite",
    "dtype",
    "direction",
    "cache",
    "data",
    "layout",
    "flags",
    "device",
    "problem",
)
MOST_SEEN = 1000
"""Different values that are remembered for an error message, of a plan that may be endless."""
MOST_SHOWN = 20


def select(found: Iterable[Case], only: Sequence[str], parameters: Collection[str] = ()) -> Iterator[Case]:
    """Return the cases that match every pattern, lazily; `parameters` are those that no op has, but a function among them.

    A pattern is `column=glob` (op, variant, layer, dtype, …, or a parameter, `c=64`; `a|b` for either), or a bare glob
    held against the variant, the op, the layer and the problem. Raises SelectionError at once for an unknown column, and at
    the end, with what there is, when nothing matched.
    """
    patterns = [_Pattern.read(text, parameters) for text in only]
    return _select(found, patterns)


def named(found: Iterable[Case], expression: str) -> Iterator[Case]:
    """Return the cases whose problem's label holds a match of the regular expression, lazily; all for an empty one.

    Raises SelectionError at once for what is no regular expression, and at the end where nothing matched.
    """
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise SelectionError(f"--filter {expression}: no regular expression: {error}") from None
    return _named(found, pattern) if expression else iter(found)


def _named(found: Iterable[Case], pattern: re.Pattern[str]) -> Iterator[Case]:
    seen: dict[str, None] = {}
    any_kept = False
    for case in found:
        label = case.problem.label
        if pattern.search(label):
            any_kept = True
            yield case
        elif len(seen) < MOST_SHOWN:
            seen[label] = None
    if not any_kept:
        raise SelectionError(f"--filter {pattern.pattern} matches no case; there is {', '.join(seen)}")


def _select(found: Iterable[Case], patterns: Sequence[_Pattern]) -> Iterator[Case]:
    any_kept = False
    for case in found:
        fits = [
            pattern.fits(case) for pattern in patterns
        ]  # each sees each case, to know whether it fits any
        if all(fits):
            any_kept = True
            yield case
    if any_kept:
        return
    for pattern in patterns:
        if not pattern.fitted:
            raise SelectionError(f"--only {pattern.text} matches no case; there is {pattern.seen_text()}")
    texts = " ".join(f"--only {pattern.text}" for pattern in patterns)
    raise SelectionError(
        f"no case matches {texts} together, though each matches some" if texts else "there are no cases"
    )


@dataclass
class _Pattern:
    """One pattern, and what it has met so far."""

    text: str
    column: str
    glob: str
    fitted: bool = False
    seen: dict[str, None] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str, parameters: Collection[str] = ()) -> _Pattern:
        """Raises SelectionError for a column that no case has."""
        column, equals, glob = text.partition("=")
        if not equals:
            return cls(text, "", text)
        known = {*COLUMNS, *parameters, *(name for op in ops().values() for name in op.model_fields)}
        if column not in known:
            raise SelectionError(f"--only {text}: no column `{column}`; {nearest(column, known)}")
        return cls(text, column, glob)

    def fits(self, case: Case) -> bool:
        """Return whether the case matches, and remember its values while none has."""
        values = _values(case, self.column)
        if any(matches(value, (self.glob,)) for value in values):
            self.fitted = True
            return True
        if not self.fitted and len(self.seen) < MOST_SEEN:
            self.seen.update(dict.fromkeys(as_text(value) for value in values if value != ""))
        return False

    def seen_text(self) -> str:
        """Return the first values met."""
        shown = list(self.seen)[:MOST_SHOWN]
        more = ", …" if len(self.seen) > MOST_SHOWN else ""
        return (", ".join(shown) or "nothing in that column") + more


def _values(case: Case, column: str) -> list[Any]:
    """Return what a pattern is held against; a variant is met by its name alone, too, and a suite without its part."""
    problem = case.problem
    match column:
        case "":
            return [str(case.variant), problem.op.name, case.layer, problem.label]
        case "variant":
            return [str(case.variant), case.variant.name]
        case "backend":
            return [case.variant.backend]
        case "op":
            return [problem.op.name]
        case "problem" | "dtype" | "direction" | "data":
            return [problem.label if column == "problem" else getattr(problem, column)]
        case "layer" | "cache" | "device":
            return [getattr(case, column)]
        case "suite":
            return [case.suite, case.suite.partition("/")[0]]
        case "layout":
            return [case.layout or problem.op.own_layout()]
        case "flags":
            return list(case.flags) or [""]
    return _parameter(problem.op, column)


def _parameter(op: Op, name: str) -> list[Any]:
    """Return the value of a parameter, or of a function's argument; none where there is none of that name."""
    if isinstance(op, Function):
        return [op.arguments[name]] if name in op.arguments else []
    return [getattr(op, name)] if name in type(op).model_fields else []
