"""The processor: what it is, and what else is going on on it."""

from __future__ import annotations

import os
from pathlib import Path

import psutil

from dlbench.devices.device import Device
from dlbench.units import parse_bytes

_CPUS = Path("/sys/devices/system/cpu")
_CPUINFO = Path("/proc/cpuinfo")
UNKNOWN_CACHE = 64 * 2**20
"""Where the operating system does not tell the cache's size: more than most desktop processors have."""


def cpu() -> Device:
    """Return this machine's processor as far as this process may use it."""
    model, vendor = _model_and_vendor()
    return Device(
        name="cpu",
        model=model,
        vendor=vendor,
        memory=psutil.virtual_memory().total,
        cache=last_level_cache(),
        cores=usable_cores(),
    )


def _model_and_vendor() -> tuple[str, str]:
    """Return what the processor is called and who made it.

    Where Linux tells both they are taken from there: the library py-cpuinfo starts a process of its own and takes a second.
    """
    told: dict[str, str] = {}
    if _CPUINFO.exists():
        for line in _CPUINFO.read_text(errors="replace").splitlines():
            name, colon, value = line.partition(":")
            if colon:
                told.setdefault(name.strip(), value.strip())
    if told.get("model name") and told.get("vendor_id"):
        return told["model name"], told["vendor_id"]
    from cpuinfo import get_cpu_info

    facts = get_cpu_info()
    model = facts.get("brand_raw") or facts.get("arch_string_raw", "unknown")
    return model, facts.get("vendor_id_raw", "unknown")


def usable_cores() -> int:
    """Return how many cores this process may run on: its affinity, cut by the container's quota if there is one."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _quota() or allowed))


def _quota() -> int:
    """Return the whole cores of the control group's processor quota, 0 where there is none."""
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return 0 if quota == "max" else round(int(quota) / int(period))
    except (OSError, ValueError):
        return 0


def last_level_cache() -> int:
    """Return the bytes of the largest cache that the first core sees."""
    sizes = []
    for index in _CPUS.glob("cpu0/cache/index*"):
        try:
            sizes.append(parse_bytes((index / "size").read_text().strip() + "iB"))
        except (OSError, ValueError):
            continue
    return max(sizes, default=UNKNOWN_CACHE)


def governor() -> str:
    """Return the frequency governor of the first core, empty where there is none."""
    try:
        return (_CPUS / "cpu0/cpufreq/scaling_governor").read_text().strip()
    except OSError:
        return ""


def load() -> float:
    """Return the 1-minute load average."""
    return os.getloadavg()[0]


def steal() -> float:
    """Return the processor seconds that the hypervisor has given to others since boot, 0 where it does not tell."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def available_memory() -> int:
    """Return the bytes that can be allocated without swapping."""
    return int(psutil.virtual_memory().available)
