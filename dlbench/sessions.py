"""Sessions of more than one run: two sides that take turns, and a machine measured against itself."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

from dlbench.analysis.aa import AA_NAME
from dlbench.api import Plan, ending_seconds, refuse_too_many, this_machine
from dlbench.errors import UserError
from dlbench.results.measurement import INTERLEAVED
from dlbench.results.store import Store, default_url
from dlbench.runner.arm import Arm
from dlbench.runner.interpreter import inspect, is_ours
from dlbench.runner.observer import Observer
from dlbench.runner.run import Session

LETTERS = "ABCDEFGH"


@dataclass(frozen=True)
class Side:
    """One side of a session: what it measures, and with which interpreter (empty: this one)."""

    plan: Plan
    python: str = ""


def sides_of(plans: Sequence[Plan], pythons: Sequence[str]) -> list[Side]:
    """Return the sides that the command line means: configs and interpreters go together one by one.

    A single config stands for all interpreters, a single interpreter for all configs; one config and one interpreter are
    compared with the same config in this one. Raises UserError when there are not two sides at least, or too many.
    """
    pythons = ["" if is_ours(python) else python for python in pythons]
    if len(plans) == 1 and len(pythons) == 1:
        pythons = ["", *pythons]
    if len(plans) > 1 and len(pythons) > 1 and len(plans) != len(pythons):
        raise UserError(
            f"{len(plans)} configs and {len(pythons)} times --python: they go together one by one"
        )
    count = max(len(plans), len(pythons))
    if count < 2:
        raise UserError("--interleaved needs two configs, or one config and --python PATH")
    if count > len(LETTERS):
        raise UserError(f"{count} sides are more than one session takes ({len(LETTERS)})")
    plans = plans if len(plans) > 1 else list(plans) * count
    pythons = pythons if len(pythons) > 1 else (pythons or [""]) * count
    return [Side(plan, python or "") for plan, python in zip_longest(plans, pythons)]


def interleave(
    sides: Sequence[Side],
    *,
    store: str,
    observer: Observer,
    notes: Mapping[str, Any] | None = None,
    name: str = "",
) -> list[str]:
    """Measure the sides in one session, each in its own run, and return the runs' ids.

    Every side has worker processes of its own in each round, and the sides' turns at a problem follow one another: A B, B A,
    and so on. How well is measured is said by the first side's config, and its budget is the whole session's. `notes` are
    kept with each run. Raises UserError when no case is on two sides.
    """
    start = time.monotonic()
    for side in sides:
        refuse_too_many(side.plan, yes=False)
    cases = [list(side.plan.cases()) for side in sides]
    _refuse_sides_apart([{case.group for case in mine} for mine in cases])
    measure = sides[0].plan.config.measure
    if any(side.plan.config.measure != measure for side in sides):
        observer.noted(f"both sides are measured as {sides[0].plan.config.name} says")
    session = {"id": secrets.token_hex(8), "kind": INTERLEAVED, **(notes or {})}
    with Store(store or default_url()) as opened:
        arms = []
        for number, (side, mine) in enumerate(zip(sides, cases, strict=True)):
            config = side.plan.config.model_copy(update={"measure": measure})
            installed = inspect(side.python) if side.python else None
            machine = this_machine(config.threads, installed, config.files)
            machine.environment["session"] = {**session, "side": LETTERS[number], "python": side.python}
            arms.append(Arm(config, mine, machine, opened, side.python, number))
        for arm in arms:
            arm.begin(f"{name or arm.config.name}-{LETTERS[arm.number]}")
        budget = measure.budget
        if budget is not None:
            ending = ending_seconds(sum(map(len, cases)))
            budget = max(budget / 2, budget - (time.monotonic() - start) - ending)
        Session(arms, observer, budget).measure()
        return [arm.run_id for arm in arms]


def _refuse_sides_apart(groups: Sequence[set[str]]) -> None:
    """Raise UserError when the sides have no problem in common: better before the measuring than after it."""
    first, *others = groups
    for letter, other in zip(LETTERS[1:], others, strict=False):
        if not first & other:
            raise UserError(f"A and {letter} have no problem in common: the configs ask for different things")


def against_itself(plan: Plan, *, sessions: int, store: str, observer: Observer) -> list[list[str]]:
    """Measure a config twice in each of some sessions, one after the other, and return the runs' ids by session.

    The two runs of a session show how far interleaved runs of the same thing differ, runs of two sessions how far separate
    ones do. The config's budget is that of all sessions together. Raises UserError for less than two sessions.
    """
    if sessions < 2:
        raise UserError(f"{sessions} session shows nothing of how far separate runs differ: at least 2")
    measure = plan.config.measure
    share = None if measure.budget is None else measure.budget / sessions
    config = plan.config.model_copy(update={"measure": measure.model_copy(update={"budget": share})})
    side = Side(replace(plan, config=config))
    name = f"{AA_NAME}-{config.name}"
    group = secrets.token_hex(8)
    found = []
    for number in range(1, sessions + 1):
        observer.noted(f"session {number} of {sessions}")
        notes = {AA_NAME: group, "number": number}
        found.append(interleave([side, side], store=store, observer=observer, notes=notes, name=name))
    return found
