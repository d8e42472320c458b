"""AMD GPUs as the Linux kernel lists them (amdkfd), found without ROCm; torch calls them `cuda`."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from dlbench.devices.device import Device

NODES = Path("sys/class/kfd/kfd/topology/nodes")
RENDER = Path("sys/class/drm")
DRIVER = Path("sys/module/amdgpu/version")
"""There where the driver is not the kernel's own."""
ON_BOARD = ("1", "2")
"""Heap types of a board's own memory, which the host sees or not (kernel, amd/amdkfd/kfd_topology.h)."""
VISIBLE = (("ROCR_VISIBLE_DEVICES",), ("HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"))
"""Each row chooses among what the row before has left; in a row the first that is set (ROCm, GPU isolation techniques)."""


def gpus(root: Path = Path("/"), environ: Mapping[str, str] = os.environ) -> tuple[Device, ...]:
    """Return the GPUs that HIP will show, none where the kernel lists none.

    A node that this process may not read, as in a container that has only some of the GPUs, is none.
    """
    nodes = sorted((root / NODES).glob("[0-9]*"), key=lambda node: (len(node.name), node.name))
    found = [_gpu(node, root) for node in nodes if _count(_properties(node), "simd_count")]
    for row in VISIBLE:
        found = _chosen(found, next((environ[name] for name in row if name in environ), None))
    return tuple(replace(gpu, name=f"cuda:{number}") for number, gpu in enumerate(found))


def _properties(node: Path) -> dict[str, str]:
    """Return the lines `name value` of a node's or a memory's properties; none that cannot be read."""
    return {
        name: value
        for name, _, value in (line.partition(" ") for line in _text(node / "properties").splitlines())
    }


def _count(facts: Mapping[str, str], name: str) -> int:
    value = facts.get(name, "")
    return int(value) if value.isdecimal() else 0


def _chosen(found: Sequence[Device], named: str | None) -> list[Device]:
    """Return those with the numbers or UUIDs, in their order, up to the first that is none or was there."""
    if named is None:
        return list(found)
    known = {str(number): gpu for number, gpu in enumerate(found)} | {
        gpu.uuid: gpu for gpu in found if gpu.uuid
    }
    chosen: list[Device] = []
    for word in (word.strip() for word in named.split(",")):
        if word not in known or known[word] in chosen:
            break
        chosen.append(known[word])
    return chosen


def _gpu(node: Path, root: Path) -> Device:
    """Return the GPU of a node; its number is given when all are known."""
    facts = _properties(node)
    banks = [_properties(bank) for bank in (node / "mem_banks").glob("*")]
    memory = sum(_count(bank, "size_in_bytes") for bank in banks if bank.get("heap_type") in ON_BOARD)
    card = root / RENDER / f"renderD{facts.get('drm_render_minor', '')}" / "device"
    identity = _count(facts, "unique_id")
    return Device(
        name=f"cuda:{node.name}",
        model=_text(card / "product_name").strip() or _architecture(_count(facts, "gfx_target_version")),
        vendor="amd",
        memory=memory,
        driver=_text(root / DRIVER).strip(),
        uuid=f"GPU-{identity:016x}" if identity else "",
    )


def _architecture(version: int) -> str:
    """Return `AMD GPU gfx942` of 90402: the kernel gives major, minor and stepping two decimal digits each."""
    return f"AMD GPU gfx{version // 10000}{version // 100 % 100:x}{version % 100:x}" if version else "AMD GPU"


def _text(file: Path) -> str:
    try:
        return file.read_text()
    except OSError:
        return ""
