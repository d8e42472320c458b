"""What there is on this machine, as rows for `dlbench list` and `dlbench info`."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from dlbench.backends.catalogue import backends
from dlbench.devices import nvml
from dlbench.devices.advice import board_warnings, software_warnings
from dlbench.devices.cpu import usable_cores
from dlbench.devices.device import Device
from dlbench.devices.environment import boards, devices, environment, quietness, warnings
from dlbench.errors import DlbenchError
from dlbench.ops.catalogue import ops
from dlbench.plan.builtin import Kind, builtin_names, builtin_path
from dlbench.plan.case import Case
from dlbench.plan.estimate import LOOKED_AT, estimate
from dlbench.plan.fields import MISSING_GPU
from dlbench.plan.yaml import load_yaml
from dlbench.results.store import Store, default_url
from dlbench.units import format_bytes, format_count, format_duration

if TYPE_CHECKING:  # the module brings pandas, which a list of configs must not wait for
    from dlbench.api import Plan

Row = dict[str, str]


def op_rows() -> list[Row]:
    """Return every op with its parameters and directions."""
    return [
        {
            "op": name,
            "parameters": ", ".join(
                _parameter(field, info.is_required(), info.default) for field, info in op.model_fields.items()
            ),
            "directions": ", ".join(op.directions),
            "what": op.summary,
        }
        for name, op in sorted(ops().items())
    ]


def _parameter(name: str, required: bool, default: object) -> str:
    return name if required or default is None else f"{name}={default}"


def backend_rows() -> list[Row]:
    """Return every variant of every backend, and whether its framework is installed."""
    return [
        {
            "variant": f"{spec.name}:{variant}",
            "what": what,
            "installed": "yes" if _is_installed(spec.requires) else f"no: {spec.install}",
        }
        for spec in backends().values()
        for variant, what in spec.variants.items()
    ]


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of a package inside another that is missing
        return False


def device_rows() -> list[Row]:
    """Return every device found."""
    return [
        {
            "device": device.name,
            "model": device.model,
            "memory": format_bytes(device.memory),
            "cores": str(device.cores or ""),
            "last-level cache": format_bytes(device.cache) if device.cache else "",
            "driver": device.driver,
        }
        for device in devices()
    ]


def file_rows(kind: Kind) -> list[Row]:
    """Return every built-in suite or config with its description."""
    rows = []
    for name in builtin_names(kind):
        content = load_yaml(builtin_path(kind, name)).data
        rows.append({kind.removesuffix("s"): name, "what": str(content.get("description", ""))})
    return rows


def run_rows(url: str) -> list[Row]:
    """Return every run in the store, the newest first."""
    with Store(url or default_url()) as store:
        return [
            {
                "run": run.id,
                "started": run.started,
                "finished": run.finished or "not finished",
                "cases": str(run.cases),
                "host": run.hostname,
            }
            for run in store.runs()
        ]


def info_sections() -> dict[str, Row | list[str]]:
    """Return what `dlbench info` prints: sections of facts, and the warnings."""
    found = devices()
    threads = usable_cores()
    facts = environment(found, threads)
    quiet = quietness()
    sections: dict[str, Row | list[str]] = {device.name: _device_facts(device) for device in found}
    sections["software"] = {name: str(value) for name, value in facts["software"].items()}
    for name, spec in backends().items():
        sections[f"backend {name}"] = _backend_facts(spec.name, threads)
    sections["how quiet"] = {
        "load average": f"{quiet.load:.2f}",
        "stolen by the hypervisor": f"{quiet.steal:.1%} of a core",
        "involuntary context switches": f"{quiet.switches} in half a second",
        "spread of a fixed loop": f"{quiet.spread:.1%} (95 % over 5 % quantile)",
        "threads used": str(threads),
    }
    there = boards(found)
    for name, board in there.items():
        sections[name] = _device_facts(next(device for device in found if device.name == name)) | {
            key: str(value) for key, value in board.settings().items()
        }
    sections["warnings"] = [
        *warnings(found, quiet, threads),
        *software_warnings(found, facts["software"], nvml.start() or ""),
        *board_warnings(there),
    ] or ["none"]
    return sections


def _device_facts(device: Device) -> Row:
    facts = {
        "model": device.model,
        "vendor": device.vendor,
        "memory": format_bytes(device.memory),
        "cores": str(device.cores) if device.cores else "",
        "last-level cache": format_bytes(device.cache) if device.cache else "",
        "driver": device.driver,
        "uuid": device.uuid,
    }
    return {name: fact for name, fact in facts.items() if fact}


def _backend_facts(name: str, threads: int) -> Row:
    """Return a backend's versions and flags on the processor, or on the first device that it has, or why it has none."""
    try:
        factory = backends()[name].load()
        there = factory.devices()
        if not there:
            return {"unavailable": factory.why_not(MISSING_GPU)}
        return dict(factory("cpu" if "cpu" in there else there[0], threads).environment())
    except DlbenchError as error:
        return {"unavailable": str(error)}


@dataclass(frozen=True)
class PlanSummary:
    """What `--dry-run` prints: facts about the run, its first cases, and how many more there are."""

    facts: Row
    rows: list[Row]
    more: int


def plan_summary(plan: Plan, most: int) -> PlanSummary:
    """Return what a plan would do, without enumerating more than it must."""
    cases = plan.cases()
    first = list(islice(cases, LOOKED_AT))
    total = len(first) + sum(1 for _ in cases) if plan.narrowed or len(first) < LOOKED_AT else plan.total
    measure = plan.config.measure
    guess = estimate(first, total, measure)
    facts = {
        "cases": format_count(total),
        "estimated time": f"about {format_duration(guess.seconds)} for {measure.rounds.min} rounds",
        "budget": "none" if measure.budget is None else format_duration(measure.budget),
        "estimated memory": f"about {format_bytes(guess.memory)} for the largest problem",
    }
    return PlanSummary(facts, [_case_row(case) for case in first[:most]], total - min(most, len(first)))


def _case_row(case: Case) -> Row:
    problem = case.problem
    return {
        "variant": str(case.variant),
        "layer": case.layer,
        "problem": problem.label,
        "dtype": problem.dtype,
        "direction": problem.direction,
        "cache": case.cache,
        "device": case.device,
    }
