"""What the runner and a worker say to each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dlbench.plan.case import Case
from dlbench.plan.files import PythonFile
from dlbench.results.measurement import Verdict


class Seat(NamedTuple):
    """Whose place a worker takes: it computes for one arm of the session, with one backend on one device.

    What stands in `files` of the user's has a worker of its own, so that it cannot change what the others do.
    """

    arm: int
    backend: str
    device: str
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Assignment:
    """What a worker is started for.

    `minimum` is the shortest sample in seconds, `cache_bytes` the last-level cache's size, `python` the interpreter to start,
    empty for our own. `files` are the user's that it imports.
    """

    backend: str
    device: str
    threads: int
    seed: int
    minimum: float
    cache_bytes: int
    python: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepare:
    """Allocate, verify, warm up and calibrate a case; `weigh` its memory; measure its `energy`, which takes seconds."""

    case: Case
    warm_up: float
    weigh: bool = True
    energy: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """Take samples of a prepared case for so many seconds."""

    key: str
    seconds: float
    at_least: int = 1


@dataclass(frozen=True, slots=True)
class Settle:
    """Wait until the process's own threads are asleep: another worker's turn is next."""


@dataclass(frozen=True, slots=True)
class Release:
    """Free whatever the prepared cases hold."""


@dataclass(frozen=True, slots=True)
class Describe:
    """Say what the user's files hold."""


@dataclass(frozen=True, slots=True)
class Stop:
    """End the process."""


@dataclass(frozen=True, slots=True)
class Ready:
    """A worker has imported its framework; `environment` holds its versions and flags."""

    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case is right and warm; `details` as the call tells them.

    `max_rel_error` is None where there is no reference, `peak_memory`, in bytes, where it cannot be told.
    """

    calls: int
    max_rel_error: float | None
    peak_memory: int | None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sampled:
    """The samples of one turn: seconds per call, how many were disturbed, and what was read beside them.

    `throttled` says why the device was slowed down all the time, empty where it was not.
    """

    seconds: tuple[float, ...]
    disturbed: int
    conditions: Mapping[str, Any] = field(default_factory=dict)
    throttled: str = ""


@dataclass(frozen=True, slots=True)
class Described:
    """What each of the user's files holds."""

    files: tuple[PythonFile, ...]


@dataclass(frozen=True, slots=True)
class Done:
    """What was asked is done and there is nothing to tell of it."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The request could not be served; the worker itself is well unless `lost`."""

    verdict: Verdict
    reason: str
    lost: bool = False


Request = Prepare | Turn | Settle | Release | Describe | Stop
Reply = Ready | Prepared | Sampled | Described | Done | Failed
