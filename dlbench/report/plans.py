"""The plans of a vendor's library that a measurement tried one by one, as lines below its row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlbench.report.cells import printable
from dlbench.results.measurement import Measurement
from dlbench.units import format_bytes, format_duration

PLANS = "plans"
"""The condition of a visit that lists them: `plan`, `time_us` and `workspace` in bytes, or `reason` where it cannot run."""


def plan_lines(measurement: Measurement) -> list[str]:
    """Return a line for each plan that the newest visit tried, in its order; none for another measurement."""
    tried = next(
        (visit.conditions[PLANS] for visit in measurement.visits[::-1] if PLANS in visit.conditions), ()
    )
    return [printable(_line(plan)) for plan in tried if isinstance(plan, Mapping)]


def _line(plan: Mapping[str, Any]) -> str:
    time, workspace = plan.get("time_us"), plan.get("workspace")
    if time is None:
        return f"plan {plan.get('plan')}: {plan.get('reason') or 'does not run'}"
    held = "" if workspace is None else f", workspace {format_bytes(workspace)}"
    return f"plan {plan.get('plan')}: {format_duration(time * 1e-6)}{held}"
