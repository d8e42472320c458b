"""The GPU in a processor of Apple's; torch calls it `mps`."""

from __future__ import annotations

import platform
import sys

import psutil

from dlbench.devices.device import Device


def gpus(system: str = sys.platform, machine: str = "") -> tuple[Device, ...]:
    """Return the one GPU of an Apple processor, which shares the machine's memory; none elsewhere."""
    if (system, machine or platform.machine()) != ("darwin", "arm64"):
        return ()
    return (Device("mps:0", "Apple GPU", "apple", psutil.virtual_memory().total),)
