"""What a run was measured in: the machine, its software, and how quiet it was."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil

from dlbench.devices import amd, apple, cpu, cuda, intel, nvml
from dlbench.devices.device import Device
from dlbench.statistics import quantile

PACKAGES = (
    *("dlbench", "numpy", "torch", "triton", "numba", "cupy", "cupy-cuda12x", "cupy-cuda13x", "pandas"),
    *("nvidia-cudnn-cu12", "nvidia-cudnn-cu13", "nvidia-cudnn-frontend"),
)
LASTING = ("power limit w", "ecc", "mig")
"""Settings of a board that change its peaks and stay until somebody changes them."""
QUIET_SECONDS = 0.5
BUSY_LOAD = 0.5
"""Load per core above which other work is likely to share the cores with the samples."""
NOISY_SPREAD = 0.05
"""Spread of a fixed loop (95 % over 5 % quantile) above which a machine is not quiet."""


@dataclass(frozen=True, slots=True)
class Quietness:
    """How quiet the machine was over a short look: all shares are of one core's time."""

    load: float
    steal: float
    switches: int
    spread: float


def devices() -> tuple[Device, ...]:
    """Return every device found on this machine, the processor first.

    AMD's GPUs are looked for where there are none of NVIDIA's: a framework is built for one of them, and calls both `cuda`.
    """
    return (cpu.cpu(), *(cuda.gpus() or amd.gpus()), *intel.gpus(), *apple.gpus())


def boards(found: Sequence[Device]) -> dict[str, nvml.Board]:
    """Return the boards of the devices that NVIDIA's management library knows, by device."""
    known = {device.name: nvml.find(device.uuid, "") for device in found if device.vendor == "nvidia"}
    return {name: board for name, board in known.items() if board is not None}


def environment(
    found: Sequence[Device], threads: int, installed: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Return the machine, its software and its state as JSON-able values.

    `installed` is the software of another interpreter where one computes. `machine.fingerprint` is equal for runs whose peaks
    are comparable: the same host, devices, threads and library versions, and of boards the same power limit, ECC and MIG.
    """
    software = dict(installed or installed_software())
    machine = {"hostname": platform.node(), "devices": [asdict(device) for device in found]}
    there = boards(found)
    settings = {name: board.settings() for name, board in there.items()}
    busy = {name: {"other processes": users} for name, board in there.items() if (users := _users(board))}
    lasting = {name: {key: told.get(key) for key in LASTING} for name, told in settings.items()}
    identity = json.dumps([machine, software, threads, *([lasting] if lasting else [])], sort_keys=True)
    return {
        "machine": machine | {"fingerprint": hashlib.sha256(identity.encode()).hexdigest()[:16]},
        "software": software,
        "threads": threads,
        "state": {
            "load": cpu.load(),
            "governor": cpu.governor(),
            "free_memory": cpu.available_memory(),
            "boards": {name: told | busy.get(name, {}) for name, told in settings.items()},
        },
    }


def _users(board: nvml.Board) -> list[str]:
    """Return the other processes on a board, as `python (4711)`."""
    return [f"{process.name or 'a process'} ({process.pid})" for process in board.others()]


def installed_software() -> dict[str, str]:
    """Return the versions of this interpreter, the operating system and the libraries that compute."""
    return {"python": platform.python_version(), "os": platform.platform()} | _versions()


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def quietness(seconds: float = QUIET_SECONDS) -> Quietness:
    """Watch a fixed loop for so long and return how much it was disturbed."""
    me = psutil.Process()
    stolen, switched, start = cpu.steal(), me.num_ctx_switches().involuntary, time.perf_counter()
    spans = []
    while time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        sum(range(20_000))
        spans.append(time.perf_counter() - begin)
    elapsed = time.perf_counter() - start
    return Quietness(
        load=cpu.load(),
        steal=(cpu.steal() - stolen) / elapsed,
        switches=me.num_ctx_switches().involuntary - switched,
        spread=quantile(spans, 0.95) / quantile(spans, 0.05) - 1,
    )


def warnings(found: Sequence[Device], quiet: Quietness, threads: int) -> list[str]:
    """Return what a careful person would put right before measuring here, one line each."""
    processor = found[0]
    lines = []
    if quiet.load > BUSY_LOAD * processor.cores:
        lines.append(
            f"load average {quiet.load:.1f} on {processor.cores} cores: other work runs beside the samples"
        )
    if quiet.steal > 0.01:
        lines.append(f"the hypervisor gave {quiet.steal:.0%} of a core to others: timings will vary")
    if quiet.spread > NOISY_SPREAD:
        lines.append(
            f"a fixed loop varies by {quiet.spread:.0%} (95 % over 5 % quantile): expect wide intervals"
        )
    if cpu.governor() not in ("", "performance"):
        lines.append(f"frequency governor `{cpu.governor()}`: `performance` gives steadier clocks")
    if threads > processor.cores:
        lines.append(f"{threads} threads on {processor.cores} cores: they will wait for one another")
    return lines
