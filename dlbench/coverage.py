"""Which backend computes which op, in which direction and by which variants: read from the code itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from dlbench.backends.backend import Implementation
from dlbench.backends.catalogue import backends
from dlbench.errors import BackendMissingError
from dlbench.ops.catalogue import ops

MISSING = "not installed"
Row = dict[str, str]


def coverage(only: Collection[str] = ()) -> list[Row]:
    """Return a row for each op and direction, with the variants of each backend, or of those named, empty where it has none.

    Every framework that is installed is imported for it; none needs a device.
    """
    specs = {name: spec for name, spec in backends().items() if name in only or not only}
    there = {name: _implementations(name) for name in specs}
    return [
        {"op": name, "direction": direction}
        | {
            backend: _variants(specs[backend].variants, some, name, direction)
            for backend, some in there.items()
        }
        for name, op in sorted(ops().items())
        for direction in op.directions
    ]


def _implementations(backend: str) -> Sequence[Implementation] | None:
    """Return what the backend has, None where its framework is not installed."""
    try:
        return backends()[backend].load().implementations()
    except BackendMissingError:
        return None


def _variants(
    order: Iterable[str], implementations: Sequence[Implementation] | None, op: str, direction: str
) -> str:
    """Return the variants that compute the op in that direction, in the order in which the backend names them."""
    if implementations is None:
        return MISSING
    found = {one.variant for one in implementations if one.op == op and direction in one.directions}
    return ", ".join(variant for variant in order if variant in found)


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table, the op's name only where it changes."""
    head = list(rows[0])
    lines = [head, ["---"] * len(head)]
    before = ""
    for row in rows:
        lines.append([f"`{row['op']}`" if row["op"] != before else "", *list(row.values())[1:]])
        before = row["op"]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
