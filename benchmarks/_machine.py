"""Name the machine beside every figure."""

from __future__ import annotations

import platform

import numpy as np
import torch

from dlbench.devices.cpu import cpu, load


def name() -> str:
    """Return the processor, its cores, the load and the versions that matter."""
    processor = cpu()
    return (
        f"{processor.model}, {processor.cores} cores, load {load():.2f}, Python {platform.python_version()}, "
        f"numpy {np.__version__}, torch {torch.__version__}"
    )
