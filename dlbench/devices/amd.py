"""AMD GPUs as the Linux kernel lists them (amdkfd), found without ROCm; torch calls them `cuda`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from dlbench.devices.device import Device

NODES = Path("sys/class/kfd/kfd/topology/nodes")
RENDER = Path("sys/class/drm")
VISIBLE = ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")
"""Each chooses, by number, among what the one before has left."""


def gpus(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """Return the GPUs that HIP will show, none where the kernel lists none."""
    nodes = sorted((root / NODES).glob("*"), key=lambda node: int(node.name) if node.name.isdecimal() else -1)
    found = [
        facts | {"node": str(node)}
        for node in nodes
        if int((facts := _properties(node)).get("simd_count", 0))
    ]
    for variable in VISIBLE:
        found = _chosen(found, environ.get(variable))
    return tuple(_gpu(number, facts, root) for number, facts in enumerate(found))


def _properties(node: Path) -> dict[str, str]:
    """Return the lines `name value` of a node's or a memory's properties; none that cannot be read."""
    try:
        lines = (node / "properties").read_text().splitlines()
    except OSError:
        return {}
    return {name: value for name, _, value in (line.partition(" ") for line in lines)}


def _chosen(found: Sequence[dict[str, str]], numbers: str | None) -> list[dict[str, str]]:
    """Return those with the numbers, in their order, up to the first that is none."""
    if numbers is None:
        return list(found)
    chosen: list[dict[str, str]] = []
    for word in (word.strip() for word in numbers.split(",")):
        if not word.isdecimal() or int(word) >= len(found):
            break
        chosen.append(found[int(word)])
    return chosen


def _gpu(number: int, facts: Mapping[str, str], root: Path) -> Device:
    banks = Path(facts["node"]).glob("mem_banks/*")
    memory = sum(int(_properties(bank).get("size_in_bytes", 0)) for bank in banks)
    card = root / RENDER / f"renderD{facts.get('drm_render_minor', '')}" / "device"
    uuid = facts.get("unique_id", "")
    return Device(f"cuda:{number}", _line(card / "product_name") or "AMD GPU", "amd", memory, uuid=uuid)


def _line(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
