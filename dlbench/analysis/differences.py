"""What two runs were measured in differs by: the machine, its software, its state, and how it was measured."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from dlbench.results.codec import to_json
from dlbench.results.measurement import Run
from dlbench.units import format_bytes

KINDS = ("machine", "device", "driver", "library", "flags", "threads", "clock", "config")
"""The kinds of difference, in the order in which they are told."""
ABSENT = "absent"
BUSY_LOAD = 0.5
"""Load per core above which other work shared the cores with the samples: where `dlbench run` itself warns."""
_BYTES = frozenset({"memory", "cache"})
_FLEETING = frozenset({"load", "free_memory"})
"""State that no two runs share; the load is looked at by itself."""
_WALKED = frozenset({"machine", "software", "backends", "threads", "state", "session", "datasheets"})
"""Sections of the environment with a reader of their own here; the session's bookkeeping needs none, nor do the datasheets,
which follow from the devices."""
_MEASURED_BY = ("seed", "measure.sample", "measure.visit", "measure.first_visit")
"""Keys of the config that change what is measured. Threads are in the environment, the problems in the cases."""
_VERSION = re.compile(r"v?\d+\.\d+")

Facts = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which two runs differ: one of KINDS, its name (empty where the kind says all) and what each has."""

    kind: str
    name: str
    first: str
    second: str

    def __str__(self) -> str:
        """Return it on one line: "library torch: 2.12.0 → 2.13.0"."""
        return f"{' '.join(filter(None, (self.kind, self.name)))}: {self.first} → {self.second}"


class _Change(NamedTuple):
    """A fact whose text is not the same on both sides."""

    name: str
    first: str
    second: str


def differences(first: Run, second: Run, *, ignoring: Collection[str] = ()) -> list[Difference]:
    """Return in what the runs' surroundings differ, by kind and name, without the kinds that are under test.

    What differs by nature is left out: moments, ids, free memory, and the load unless one side alone was busy.
    """
    one, two = first.environment, second.environment
    found = [
        *_machine(one, two),
        *_devices(_devices_of(one), _devices_of(two)),
        *_software(_mapping(one.get("software")), _mapping(two.get("software"))),
        *_backends(_mapping(one.get("backends")), _mapping(two.get("backends"))),
        *_threads(first, second),
        *_clock(one, two),
        *_elsewhere(one, two),
        *_config(first.config, second.config),
    ]
    unique = {(difference.kind, difference.name): difference for difference in found}
    wanted = (difference for difference in unique.values() if difference.kind not in ignoring)
    return sorted(wanted, key=lambda difference: (KINDS.index(difference.kind), difference.name))


def _machine(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Difference]:
    sides = []
    for environment in (one, two):
        machine = _mapping(environment.get("machine"))
        known = {name: value for name, value in machine.items() if name not in ("fingerprint", "devices")}
        system = _mapping(environment.get("software")).get("os")
        sides.append(_facts({**known, "operating system": system}))
    return (Difference("machine", *change) for change in _changes(*sides))


def _devices_of(environment: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    listed = _mapping(environment.get("machine")).get("devices")
    devices = map(_mapping, listed if isinstance(listed, list | tuple) else ())
    return {str(device["name"]): device for device in devices if device.get("name")}


def _devices(
    one: Mapping[str, Mapping[str, Any]], two: Mapping[str, Mapping[str, Any]]
) -> Iterator[Difference]:
    for name in one.keys() ^ two.keys():
        models = (
            _text(side[name].get("model") or "unknown") if name in side else ABSENT for side in (one, two)
        )
        yield Difference("device", name, *models)
    for name in one.keys() & two.keys():
        for fact, first, second in _changes(_device_facts(one[name]), _device_facts(two[name])):
            driver = fact == "driver"
            yield Difference(
                "driver" if driver else "device", name if driver else f"{name} {fact}", first, second
            )


def _device_facts(device: Mapping[str, Any]) -> Facts:
    """Return a device's facts; 0 is unknown, and bytes that read the same are: a kernel keeps some of them for itself."""
    readable = {
        name: format_bytes(value) if name in _BYTES and isinstance(value, int | float) else value
        for name, value in device.items()
        if value != 0
    }
    return _facts(readable)


def _software(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Difference]:
    for change in _changes(_facts(one), _facts(two)):
        if change.name != "os":
            yield Difference("library", *change)


def _backends(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield what the workers said of their frameworks; where a framework was used on one side only, just that."""
    for backend in one.keys() ^ two.keys():
        used = (ABSENT if backend not in side else "used" for side in (one, two))
        yield Difference("library", f"{backend} backend", *used)
    for backend in one.keys() & two.keys():
        for fact, first, second in _changes(_facts(_mapping(one[backend])), _facts(_mapping(two[backend]))):
            kind = _kind(fact, first, second)
            if kind != "threads":
                name = backend if fact == backend else f"{backend} {fact}"
                yield Difference(kind, name, first, second)


def _kind(fact: str, *values: str) -> str:
    """Return the kind of what a backend tells; backends name their facts as they like."""
    words = fact.lower().split()
    if "threads" in words:
        return "threads"
    if "driver" in words:
        return "driver"
    return "library" if any(_VERSION.search(value) for value in values) else "flags"


def _threads(first: Run, second: Run) -> Iterator[Difference]:
    """Yield the run's threads, and of a backend's what does not follow from them."""
    whole = [_text(_threads_of(run)) for run in (first, second)]
    if whole[0] != whole[1]:
        yield Difference("threads", "", *whole)
    one, two = (_mapping(run.environment.get("backends")) for run in (first, second))
    for backend in one.keys() & two.keys():
        for fact, *values in _changes(_facts(_mapping(one[backend])), _facts(_mapping(two[backend]))):
            if _kind(fact) == "threads" and values != whole:
                own = " ".join(word for word in fact.split() if word.lower() != "threads")
                yield Difference("threads", f"{backend} {own}".strip(), *values)


def _threads_of(run: Run) -> object:
    return run.environment.get("threads") or run.config.get("threads")


def _clock(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Difference]:
    states = [_mapping(environment.get("state")) for environment in (one, two)]
    steady = [
        _facts({name: value for name, value in state.items() if name not in _FLEETING}) for state in states
    ]
    for change in _changes(*steady):
        yield Difference("clock", *change)
    loads = [_load(environment) for environment in (one, two)]
    if loads[0].busy != loads[1].busy:
        yield Difference("clock", "load", *(load.text for load in loads))


class _Load(NamedTuple):
    busy: bool
    text: str


def _load(environment: Mapping[str, Any]) -> _Load:
    """Return whether other work shared the cores when the run began."""
    load = _mapping(environment.get("state")).get("load")
    cores = _devices_of(environment).get("cpu", {}).get("cores")
    if not isinstance(load, int | float):
        return _Load(False, ABSENT)
    count = cores if isinstance(cores, int) and cores > 0 else 1
    return _Load(load > BUSY_LOAD * count, f"{load:.1f} on {count} core{'' if count == 1 else 's'}")


def _elsewhere(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Difference]:
    """Yield what sections that this version does not know differ in: better told too much than not at all."""
    sides = [
        _facts({name: value for name, value in environment.items() if name not in _WALKED})
        for environment in (one, two)
    ]
    return (Difference("flags", *change) for change in _changes(*sides))


def _config(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterator[Difference]:
    sides = []
    for config in (one, two):
        known = {
            **config,
            **{f"measure.{name}": value for name, value in _mapping(config.get("measure")).items()},
        }
        sides.append(_facts({name: known.get(name) for name in _MEASURED_BY}))
    for name, *values in _changes(*sides):
        timed = name.startswith("measure.")
        yield Difference(
            "config", name, *(f"{value} s" if timed and value != ABSENT else value for value in values)
        )


def _changes(one: Facts, two: Facts) -> list[_Change]:
    """Return the facts that are not the same on both sides."""
    pairs = ((name, one.get(name, ABSENT), two.get(name, ABSENT)) for name in sorted(one.keys() | two.keys()))
    return [_Change(*pair) for pair in pairs if pair[1] != pair[2]]


def _facts(section: Mapping[str, Any]) -> Facts:
    """Return a section's facts as text, those of a section inside it by both names; what is empty is unknown."""
    return dict(_leaves(section.items()))


def _leaves(items: Iterable[tuple[str, Any]], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in items:
        if isinstance(value, Mapping):
            yield from _leaves(value.items(), f"{prefix}{name} ")
        elif (text := _text(value)) != ABSENT:
            yield f"{prefix}{name}", text


def _text(value: object) -> str:
    """Return the value on one line; whole seconds and bytes without a fraction."""
    if isinstance(value, list | tuple):
        return to_json(value) if value else ABSENT
    if isinstance(value, float):
        return f"{value:g}"
    return ABSENT if value is None else " ".join(str(value).split()) or ABSENT


def _mapping(value: object) -> Mapping[str, Any]:
    """Return the value, or an empty mapping for what an odd or an old run has in its place."""
    return value if isinstance(value, Mapping) else {}
