"""What a self-test found: one finding for each check, and the report that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["passed", "failed", "warned", "skipped"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check of one backend found, and what to do about it; `advice` is empty where nothing is to do."""

    backend: str
    check: str
    state: State
    detail: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings on one device; `model` is what its driver calls it, empty where unknown."""

    device: str
    model: str
    findings: tuple[Finding, ...]

    @property
    def exit_status(self) -> int:
        """0 where something passed and nothing failed, else 1."""
        states = {finding.state for finding in self.findings}
        return int("failed" in states or "passed" not in states)

    @property
    def summary(self) -> str:
        """`11 of 12 checks passed on cuda:0 (MODEL), 2 skipped`; a warning is a check that passed."""
        states = [finding.state for finding in self.findings]
        made = [state for state in states if state != "skipped"]
        passed = sum(state != "failed" for state in made)
        where = f"{self.device} ({self.model})" if self.model else self.device
        parts = [
            f"{passed} of {len(made)} checks passed on {where}" if made else f"nothing checked on {where}"
        ]
        if warnings := states.count("warned"):
            parts.append(f"{warnings} with a warning")
        if skipped := len(states) - len(made):
            parts.append(f"{skipped} skipped")
        return ", ".join(parts)
