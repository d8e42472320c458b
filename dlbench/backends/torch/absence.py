"""Why torch cannot compute on a device, and what to do about it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

WHEELS = "https://download.pytorch.org/whl"
GUIDE = "https://pytorch.org/get-started/locally/"
CUDA, ROCM, XPU = f"{WHEELS}/cu130", f"{WHEELS}/rocm6.4", f"{WHEELS}/xpu"
"""Indexes of torch's wheels (pytorch.org, "Installing previous versions", and torch's "Getting Started on Intel GPU")."""
INSTALL = "pip install --force-reinstall torch --index-url"
"""Again: pip takes the build that is there for good enough otherwise."""
NVIDIA_DRIVER, AMD_DRIVER = Path("/proc/driver/nvidia/version"), Path("/dev/kfd")
"""What there is on Linux where the driver is loaded."""
VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ZE_AFFINITY_MASK")
"""Variables by which the drivers of NVIDIA, AMD and Intel GPUs hide some."""


def reason(device: str, devices: Callable[[], tuple[str, ...]]) -> str:
    """Return why torch cannot compute on a device that is not among those it sees. Never raises an error."""
    try:
        return _reason(device, devices())
    except Exception as error:  # what a broken build or driver may raise is unknown; it is the reason itself
        return f"torch cannot tell why it sees no {device}: {_line(error)}"


def _reason(device: str, devices: tuple[str, ...]) -> str:
    kind = device.partition(":")[0]
    alike = [one for one in devices if one.partition(":")[0] == kind]
    if alike:
        return f"no {device}: there {'is' if len(alike) == 1 else 'are'} {len(alike)}: {', '.join(alike)}"
    known: dict[str, Callable[[], str]] = {"cuda": _no_cuda, "xpu": _no_xpu, "mps": _no_mps}
    if kind not in known:
        return f"torch computes on {', '.join(devices)} here, not on {device}"
    return known[kind]()


def _no_cuda() -> str:
    if torch.version.cuda or torch.version.hip:
        return _started(torch.cuda.init, "torch.cuda")
    amd = AMD_DRIVER.exists() and not NVIDIA_DRIVER.exists()
    built = f"this torch ({torch.__version__}) was built without {'ROCm' if amd else 'CUDA'}"
    if amd:
        return f"{built}; {INSTALL} {ROCM} (for another ROCm version see {GUIDE})"
    return f"{built}; {INSTALL} {CUDA} (for an AMD GPU {ROCM})"


def _no_xpu() -> str:
    if not torch.xpu._is_compiled():  # noqa: SLF001 - nothing public tells it
        return f"this torch ({torch.__version__}) was built without XPU; {INSTALL} {XPU}"
    return _started(torch.xpu.init, "torch.xpu")


def _no_mps() -> str:
    if not torch.backends.mps.is_built():
        return (
            f"this torch ({torch.__version__}) was built without MPS; install it on a Mac: pip install torch"
        )
    return "torch finds no GPU that Metal can use, or macOS is too old for this torch; use --device cpu"


def _started(start: Callable[[], None], name: str) -> str:
    """Return what torch says when it starts the device's runtime."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            start()
    except Exception as error:
        return _line(error) + _visible()
    return f"{name} starts, but lists no device{_visible()}"


def _visible() -> str:
    hiding = [f"{name} is `{os.environ[name]}`" for name in VISIBLE if name in os.environ]
    return f" ({', '.join(hiding)}; unset it or name a GPU)" if hiding else ""


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
