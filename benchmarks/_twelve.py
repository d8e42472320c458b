"""The twelve problems of twelve.yaml as prepared calls, so that every harness times the very same ones."""

from __future__ import annotations

from pathlib import Path

from dlbench.api import plan
from dlbench.backends.catalogue import backends
from dlbench.devices.cpu import usable_cores
from dlbench.plan.case import Case
from dlbench.timing.clock import Call

CONFIG = Path(__file__).with_name("twelve.yaml")


def label(case: Case) -> str:
    """Return what the problem is called in every harness."""
    return case.problem.label


def calls() -> dict[str, Call]:
    """Return each problem's call, its inputs allocated and torch's threads set."""
    backend = backends()["torch"].load()("cpu", usable_cores())
    prepared = {}
    for case in plan(CONFIG).cases():
        problem = case.problem
        tensors = [backend.tensor(values, problem.dtype) for values in problem.inputs().values()]
        prepared[label(case)] = backend.find(problem, case.variant.name).prepare(problem, *tensors)
    return prepared
