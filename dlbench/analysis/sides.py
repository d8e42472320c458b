"""Who is compared with whom: the sides of a comparison, and which of their cases match."""

from __future__ import annotations

import string
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlbench.errors import SelectionError, UserError, nearest
from dlbench.results.digest import Digest
from dlbench.results.measurement import INTERLEAVED, Run

FIELDS = ("device", "backend", "variant", "dtype", "layout", "flags")
"""What `by` can be."""
IDENTITY = (
    "op", "params", "dtype", "direction", "layout", "cache", "data", "suite", "layer", "backend", "variant", "device",
    "flags",
)  # fmt: skip
"""What two cases share that are the same: of two machines too, unlike a run's own numbers and paths."""
PIVOTED: Mapping[str, tuple[str, ...]] = {
    "": (),
    "device": ("device",),
    "backend": ("backend",),
    "variant": ("backend", "variant"),
    "dtype": ("dtype",),
    "layout": ("layout",),
    "flags": ("flags",),
}
"""The fields in which the two sides of a row may differ."""
SHORT = 16
"""Characters of a side's name that still make a table's heading; longer ones are called A, B, …"""


class _Cause(NamedTuple):
    """Why nothing may match: the fields that differ, what they are called, what `by` would compare them."""

    fields: tuple[str, ...]
    called: str
    by: str = ""


_CAUSES = (
    _Cause(("device",), "devices", "device"),
    _Cause(("backend", "variant"), "variants", "variant"),
    _Cause(("dtype",), "dtypes", "dtype"),
    _Cause(("layout",), "layouts", "layout"),
    _Cause(("flags",), "flags", "flags"),
    _Cause(("cache",), "cache states"),
    _Cause(("direction",), "directions"),
    _Cause(("data",), "input data"),
    _Cause(("suite", "layer"), "layers"),
    _Cause(("op", "params"), "problems"),
)
"""The nearest first."""
_SHOWN = 3

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison: `label` is short, for headings and reasons; `runs` have no measurements."""

    label: str
    name: str
    runs: tuple[Run, ...]


class Pool(NamedTuple):
    """The cases of all runs, one below another.

    For each case `run` is the number of its run, `side` that of its side (0 is the base) and `key` is equal for cases that
    match. `session` is for each run the number of the session that it was measured in: rounds of one session are paired.
    """

    cases: pd.DataFrame
    run: Integers
    side: Integers
    key: Integers
    session: Integers
    sides: tuple[Side, ...]


def arrange(digests: Sequence[Digest], by: str, names: Sequence[str]) -> Pool:
    """Return the sides and what matches. Raises SelectionError or UserError where nothing can be compared."""
    if by not in PIVOTED:
        raise SelectionError(f"no comparison by `{by}`: {nearest(by, FIELDS)}")
    _refuse_twice([digest.run.id for digest in digests])
    if len(digests) < (1 if by else 2):
        raise UserError(
            "one run is nothing to compare: name two, or what to compare within one with --by device, backend, variant, "
            "dtype, layout or flags; `dlbench list runs` shows them"
        )
    wanted = [*IDENTITY, "problem", "baseline", "verdict", "reason"]
    cases = pd.concat([digest.cases[wanted] for digest in digests], ignore_index=True)
    run = np.repeat(np.arange(len(digests)), [len(digest.cases) for digest in digests])
    side, found = _sides_by(by, digests, cases, run) if by else _runs(digests, run, names)
    key = _numbered([cases[name] for name in IDENTITY if name not in PIVOTED[by]])
    pool = Pool(cases, run, side, key, _sessions(digests), found)
    _refuse_strangers(pool, by)
    return pool


def _refuse_twice(ids: Sequence[str]) -> None:
    for number, name in enumerate(ids):
        if name in ids[:number]:
            first, second = _letter(ids.index(name)), _letter(number)
            raise UserError(
                f"{first} and {second} are the same run {_line(name)}: name two runs; `dlbench list runs` shows them"
            )


def _line(text: str) -> str:
    """Return a text that others may have written on one line, so that a message stays one."""
    return " ".join(text.split())


def _letter(number: int) -> str:
    return string.ascii_uppercase[number] if number < len(string.ascii_uppercase) else str(number + 1)


def _runs(
    digests: Sequence[Digest], run: Integers, names: Sequence[str]
) -> tuple[Integers, tuple[Side, ...]]:
    """Return each run as a side of its own."""
    called = names or [digest.run.id for digest in digests]
    return run, tuple(
        Side(_letter(number), name, (digest.run,))
        for number, (digest, name) in enumerate(zip(digests, called, strict=True))
    )


def _sides_by(
    by: str, digests: Sequence[Digest], cases: pd.DataFrame, run: Integers
) -> tuple[Integers, tuple[Side, ...]]:
    """Return each value of a field as a side; the config's baseline first, or else what appears first."""
    side, uniques = pd.factorize(_values(by, digests, cases, run))
    names = [str(name) for name in uniques]
    if len(names) < 2:
        only = f"all rows have the {by} {_line(names[0])}" if names else "there are no rows"
        raise SelectionError(
            f"--by {by} compares nothing: {only}; name a run with another, or compare two runs"
        )
    order = list(range(len(names)))
    if (base := _base(by, names, cases)) is not None:
        order.insert(0, order.pop(names.index(base)))
    rank = np.argsort(order)
    side = rank[side]
    labels = [names[old] for old in order]
    if max(map(len, labels)) > SHORT:
        labels = [_letter(number) for number in range(len(names))]
    return side, tuple(
        Side(label, names[old], tuple(digests[index].run for index in np.unique(run[side == new]).tolist()))
        for new, (old, label) in enumerate(zip(order, labels, strict=True))
    )


def _values(by: str, digests: Sequence[Digest], cases: pd.DataFrame, run: Integers) -> pd.Series[Any]:
    if by == "variant":
        return cases["backend"] + ":" + cases["variant"]
    if by != "device":
        return cases[by]
    number, places = pd.factorize(pd.Series(run).astype(str) + " " + cases["device"])
    devices = [(int(place.partition(" ")[0]), place.partition(" ")[2]) for place in map(str, places)]
    names = _device_names([_device(digests[index].run, device) for index, device in devices])
    return pd.Series(np.array(names, dtype=object)[number], dtype="object")


def _device(run: Run, name: str) -> tuple[str, str, str]:
    """Return a device's model, host and name."""
    models = {str(device.get("name")): str(device.get("model") or "") for device in devices_of(run)}
    return models.get(name) or name, hostname(run), name


def hostname(run: Run) -> str:
    """Return where a run was measured, empty where its environment does not say."""
    return str(_mapping(run.environment.get("machine")).get("hostname") or "")


def devices_of(run: Run) -> list[Mapping[str, Any]]:
    """Return the devices of a run's machine, as its environment has them."""
    listed = _mapping(run.environment.get("machine")).get("devices")
    return [_mapping(device) for device in listed] if isinstance(listed, list | tuple) else []


def _mapping(value: object) -> Mapping[str, Any]:
    """Return the value, or an empty mapping for what an odd or an old run has in its place."""
    return value if isinstance(value, Mapping) else {}


def _device_names(devices: Sequence[tuple[str, str, str]]) -> list[str]:
    """Return each device's model, with its host and its name where only these tell it from another."""
    hosts: defaultdict[str, set[str]] = defaultdict(set)
    twins: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for model, host, name in devices:
        hosts[model].add(host)
        twins[model, host].add(name)
    return [
        model
        + (f" on {host}" if len(hosts[model]) > 1 else "")
        + (f" {name}" if len(twins[model, host]) > 1 else "")
        for model, host, name in devices
    ]


def _base(by: str, names: Sequence[str], cases: pd.DataFrame) -> str | None:
    """Return the side that the config compares with, None where the field has none."""
    if by not in ("backend", "variant"):
        return None
    for baseline in map(str, cases["baseline"].unique()):
        name = baseline if by == "variant" else baseline.partition(":")[0]
        if name in names:
            return name
    return None


def _sessions(digests: Sequence[Digest]) -> Integers:
    """Return for each run the number of its session: its own, or one that it shares with the runs it took turns with."""
    names = []
    for digest in digests:
        session = _mapping(digest.run.environment.get("session"))
        shared = session.get("kind") == INTERLEAVED and session.get("id")
        names.append(f"session {session.get('id')}" if shared else f"run {digest.run.id}")
    return pd.factorize(np.array(names, dtype=object))[0].astype(np.int64)


def _numbered(columns: Sequence[pd.Series[Any]]) -> Integers:
    """Return a number for each row, equal where all columns are."""
    number = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        codes, uniques = pd.factorize(column)
        number = pd.factorize(number * len(uniques) + codes)[0].astype(np.int64)
    return number


def _refuse_strangers(pool: Pool, by: str) -> None:
    """Raise SelectionError, with the nearest cause, unless a case of the base matches one of another side."""
    if _meet(pool.key, pool.side):
        return
    labels = [_line(side.label) for side in pool.sides]
    who = " and ".join((", ".join(labels[:-1]), labels[-1]))
    empty = [side.label for number, side in enumerate(pool.sides) if not (pool.side == number).any()]
    if empty:
        raise SelectionError(f"{who} have no case in common: {_line(empty[0])} has no case at all")
    for cause in _CAUSES:
        rest = [pool.cases[name] for name in IDENTITY if name not in (*PIVOTED[by], *cause.fields)]
        if not set(cause.fields) <= set(PIVOTED[by]) and _meet(_numbered(rest), pool.side):
            advice = f"; `--by {cause.by}` compares these" if cause.by else ""
            raise SelectionError(
                f"{who} have no case in common: their {cause.called} differ ({_told(pool, cause, by)}){advice}"
            )
    raise SelectionError(
        f"{who} have no case in common, and differ in more than one of device, variant, dtype, cache and problem"
    )


def _meet(key: Integers, side: Integers) -> bool:
    return bool(np.isin(key[side > 0], key[side == 0]).any())


def _told(pool: Pool, cause: _Cause, by: str) -> str:
    """Return the first few values that each side has."""
    fields = [name for name in cause.fields if name not in PIVOTED[by]]
    fields = ["problem"] if "params" in fields else fields
    told = []
    for number, side in enumerate(pool.sides):
        values = pool.cases.loc[pool.side == number, fields].drop_duplicates()
        names = [
            ":".join(filter(None, map(str, row))) or "none" for row in values[:_SHOWN].itertuples(index=False)
        ]
        told.append(
            f"{_line(side.label)} has {_line(', '.join(names))}{', …' if len(values) > _SHOWN else ''}"
        )
    return "; ".join(told)
