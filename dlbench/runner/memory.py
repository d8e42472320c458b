"""How much memory this process holds, held at most, and may take."""

from __future__ import annotations

import ctypes
import resource
import sys
from collections.abc import Callable
from pathlib import Path

from dlbench.devices.cpu import available_memory

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def peak_of(work: Callable[[], object]) -> int | None:
    """Run the work and return how many bytes more than before were held at most, None where that cannot be told.

    Linux keeps a high-water mark of a process's resident memory, which it resets on request (proc(5), clear_refs).
    """
    try:
        _CLEAR.write_text(_RESET_PEAK)
        before = _field("VmRSS")
    except (OSError, ValueError):
        work()
        return None
    work()
    return max(0, _field("VmHWM") - before)


def _field(name: str) -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(name)


def return_free_memory() -> None:
    """Give freed memory back to the system, so that the next case's peak is its own."""
    if sys.platform == "linux":
        ctypes.CDLL(None).malloc_trim(0)


def limit_to_available() -> None:
    """Make an allocation beyond the machine's free memory fail in this process instead of killing others."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = available_memory()
    resource.setrlimit(resource.RLIMIT_DATA, (wanted if hard < 0 else min(wanted, hard), hard))


def volunteer_for_the_killer() -> None:
    """Tell the system to end this process first should memory run out all the same."""
    try:
        Path("/proc/self/oom_score_adj").write_text("1000")
    except OSError:
        return
