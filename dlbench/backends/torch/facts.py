"""What torch was built with and what it runs on, as texts by name."""

from __future__ import annotations

import re
from collections.abc import Callable
from importlib import metadata
from typing import Any

import torch

TRITON = (
    "triton",
    "pytorch-triton",
    "pytorch-triton-rocm",
    "triton-rocm",
    "pytorch-triton-xpu",
    "triton-xpu",
)
"""The names under which the compiler's wheels are published."""


def of_the_build() -> dict[str, str]:
    """Return the versions of torch and of what it was built with for a processor."""
    return {
        "torch": str(torch.__version__),  # its own class would import torch wherever it is unpickled
        "onednn": _built_with(r"MKL-DNN v(\S+)"),
        "mkl": _built_with(r"Math Kernel Library Version (\S+)"),
        "cpu capability": torch.backends.cpu.get_cpu_capability(),
        "threads": str(torch.get_num_threads()),
    }


def of_the_accelerator(device: torch.device) -> dict[str, str]:
    """Return the versions behind an accelerator, and its name and compute capability; what is not known is left out."""
    module: Any = torch.get_device_module(device)
    library = "miopen" if torch.version.hip else "cudnn"
    told: dict[str, Callable[[], Any]] = {
        "cuda": lambda: torch.version.cuda,
        "hip": lambda: torch.version.hip,
        library: torch.backends.cudnn.version,
        "driver": lambda: _driver(device, module),
        "device": lambda: module.get_device_name(device),
        "compute capability": lambda: _dotted(module.get_device_capability(device)),
        "triton": _triton,
    }
    found = {name: _known(ask) for name, ask in told.items()}
    return {name: value for name, value in found.items() if value}


def _driver(device: torch.device, module: Any) -> str:
    """Return the newest CUDA that the driver supports, such as "13.0"; an Intel driver's own version."""
    if device.type == "cuda" and torch.version.cuda:
        version = int(torch._C._cuda_getDriverVersion())  # type: ignore[attr-defined]  # noqa: SLF001 - not in a CPU build
        return f"CUDA {version // 1000}.{version % 1000 // 10}"
    return str(getattr(module.get_device_properties(device), "driver_version", ""))


def _dotted(capability: Any) -> str:
    """Return (9, 0) as "9.0"; empty for what is no pair, as Intel's capabilities are."""
    return ".".join(map(str, capability)) if isinstance(capability, tuple) else ""


def _triton() -> str:
    for name in TRITON:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return ""


def _known(ask: Callable[[], Any]) -> str:
    """Return what is asked for; empty where this torch or this kind of device has no such thing."""
    try:
        value = ask()
    except (AttributeError, AssertionError, RuntimeError, TypeError, ValueError):
        return ""
    return "" if value is None else str(value)


def _built_with(pattern: str) -> str:
    found = re.search(pattern, torch.__config__.show())
    return found[1] if found else "none"
