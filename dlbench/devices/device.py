"""The Device: where an op runs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Device:
    """One device of this machine.

    `memory` and `cache` (last level) are in bytes, 0 where unknown; `cores` is how many this process may use.
    """

    name: str
    model: str
    vendor: str
    memory: int = 0
    cache: int = 0
    cores: int = 0
    driver: str = ""
    uuid: str = ""

    @property
    def kind(self) -> str:
        """`cpu`, `cuda`, `xpu` or `mps`."""
        return self.name.partition(":")[0]
