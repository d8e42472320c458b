"""A machine measured against itself: how far runs of the same thing differ, and how often a comparison is fooled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any

import numpy as np
import pandas as pd

from dlbench.analysis.comparison import compare
from dlbench.analysis.floor import BOUNDS, CLASSES, Floors, class_of, floors_from
from dlbench.errors import SelectionError
from dlbench.results.digest import Digest
from dlbench.results.store import Store
from dlbench.units import format_duration

AA_NAME = "aa"
"""How the names of runs begin that were measured to be compared with themselves, and the key of their session's note."""
KINDS = ("in turn", "separate")


@dataclass(frozen=True)
class SelfComparison:
    """What comparing a config with itself showed.

    `table` has a row for each kind of pair (in turn, separate) and class of cases that was seen: `kind`, `size` (text),
    `comparisons`, `floor` (a fraction), `outside` (comparisons whose interval alone excludes 1) and `changed` (those that the
    whole rule calls faster or slower, held to the floors that the other pairs gave).
    """

    floors: Floors
    table: pd.DataFrame


def self_comparison(sessions: Sequence[Sequence[Digest]]) -> SelfComparison:
    """Return the noise floors and the false positives of sessions that measured the same thing twice each.

    Raises SelectionError when no case has a time on two sides.
    """
    in_turn = [(first, second) for first, second, *_ in sessions]
    separate = [(one[side], other[side]) for one, other in combinations(sessions, 2) for side in (0, 1)]
    parts = [_compared(pair, number, Floors()) for number, pair in enumerate(in_turn + separate)]
    rows = pd.concat(parts, ignore_index=True)
    if rows.empty:
        raise SelectionError("no case was measured twice; give it more --budget")
    held = [
        _compared(pair, number, _floors(rows[rows["pair"] != number]))
        for number, pair in enumerate(in_turn + separate)
    ]
    rows["changed"] = pd.concat(held, ignore_index=True)["changed"]
    rows["kind"] = np.where(rows["pair"] < len(in_turn), *KINDS)
    floors = _floors(rows)
    return SelfComparison(floors, _table(rows, floors))


def _compared(pair: tuple[Digest, Digest], number: int, floors: Floors) -> pd.DataFrame:
    """Return the rows of one pair that have a ratio."""
    comparison = compare(pair, floors=floors)
    frame = comparison.frame[comparison.frame["ratio"].notna()]
    ratio = frame["ratio"].to_numpy()
    return pd.DataFrame(
        {
            "pair": number,
            "case": frame["problem"].astype(str) + frame["dtype"] + frame["direction"] + frame["cache"]
            + frame["backend"] + frame["variant"] + frame["device"] + frame["layer"],
            "seconds": frame["base_us"].to_numpy() * 1e-6,
            "log_ratio": np.log(ratio),
            "in_turn": comparison.paired,
            "outside": (frame["ratio_low"].to_numpy() > 1) | (frame["ratio_high"].to_numpy() < 1),
            "changed": frame["verdict"].isin(("faster", "slower")).to_numpy(),
        }
    ).sort_values(["pair", "case"], kind="stable", ignore_index=True)  # fmt: skip


def _floors(rows: pd.DataFrame) -> Floors:
    return floors_from(
        rows["seconds"].to_numpy(), rows["log_ratio"].to_numpy(), rows["in_turn"].to_numpy(dtype=np.bool_)
    )


def _table(rows: pd.DataFrame, floors: Floors) -> pd.DataFrame:
    lines: list[dict[str, Any]] = []
    rows = rows.assign(size=class_of(rows["seconds"].to_numpy()))
    for kind, by_class in zip(KINDS, (floors.interleaved, floors.separate), strict=True):
        for number in range(CLASSES):
            chosen = rows[(rows["kind"] == kind) & (rows["size"] == number)]
            if len(chosen):
                lines.append(
                    {
                        "kind": kind,
                        "size": size_text(number),
                        "comparisons": len(chosen),
                        "floor": by_class[number],
                        "outside": int(chosen["outside"].sum()),
                        "changed": int(chosen["changed"].sum()),
                    }
                )
    return pd.DataFrame(lines)


def size_text(number: int) -> str:
    """Return what a class of cases is called."""
    names = [format_duration(bound) for bound in BOUNDS]
    if number == 0:
        return f"under {names[0]}"
    if number == len(BOUNDS):
        return f"{names[-1]} and more"
    low, high = list(pairwise(names))[number - 1]
    return f"{low} to {high}"


def find_floors(store: Store, environment: Mapping[str, Any]) -> Floors | None:
    """Return the noise floors of the machine that an environment describes, from its newest self-comparison.

    The host, its devices and the threads must be the same; the libraries need not, since noise is the machine's. None
    where there is no finished one.
    """
    found: dict[int, dict[str, Digest]] = {}
    wanted = ""
    for run_id in store.finished(f"{AA_NAME}-"):
        digest = store.digest(run_id)
        session = digest.run.environment.get("session") or {}
        if AA_NAME not in session or machine_of(digest.run.environment) != machine_of(environment):
            continue
        wanted = wanted or session[AA_NAME]
        if session[AA_NAME] != wanted:
            break
        found.setdefault(session["number"], {})[session["side"]] = digest
    pairs = [[sides[side] for side in sorted(sides)] for sides in found.values() if len(sides) > 1]
    return self_comparison(pairs).floors if pairs else None


def machine_of(environment: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what must be the same for a noise floor to hold: the host, its devices and the threads."""
    machine = environment.get("machine") or {}
    devices = [f"{device.get('name')} {device.get('model')}" for device in machine.get("devices") or ()]
    return (str(machine.get("hostname", "")), *devices, str(environment.get("threads", "")))
