"""Choose cases by pattern, as `--only` does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlbench.errors import SelectionError, nearest
from dlbench.ops.catalogue import ops
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


def select(found: Iterable[Case], only: Sequence[str]) -> Iterator[Case]:
    """Return the cases that match every pattern, lazily.

    A pattern is `column=glob` (op, variant, layer, dtype, …, or a parameter, `c=64`; `a|b` for either), or a bare glob
    held against the variant, the op, the layer and the problem. Raises SelectionError at once for an unknown column, and at
    the end, with what there is, when nothing matched.
    """
    patterns = [_Pattern.read(text) for text in only]
    return _select(found, patterns)


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
    def read(cls, text: str) -> _Pattern:
        """Raises SelectionError for a column that no case has."""
        column, equals, glob = text.partition("=")
        if not equals:
            return cls(text, "", text)
        known = {*COLUMNS, *(name for op in ops().values() for name in op.model_fields)}
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
    """Return what a pattern for the column is held against; `variant` is met by its name alone, too."""
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
        case "problem":
            return [problem.label]
        case "dtype" | "direction" | "data":
            return [getattr(problem, column)]
        case "layer" | "suite" | "cache" | "device":
            return [getattr(case, column)]
        case "layout":
            return [case.layout or problem.op.own_layout()]
        case "flags":
            return list(case.flags) or [""]
    return [getattr(problem.op, column)] if column in type(problem.op).model_fields else []
