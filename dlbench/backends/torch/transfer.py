"""Copies between the host's memory and an accelerator's through torch."""

from __future__ import annotations

from functools import partial

import torch

from dlbench.backends.backend import implements
from dlbench.errors import UnsupportedError
from dlbench.ops.problem import Problem
from dlbench.ops.transfer import ToDevice, ToHost
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")


@implements("to_device", variant="library", dtypes=DTYPES)
def to_device(problem: Problem, a: torch.Tensor) -> Call:
    """From a copy of the values in the host's memory, made before."""
    host = _host_buffer(problem, a)
    host.copy_(a)
    return _copy(problem, torch.empty_like(a), host)


@implements("to_host", variant="library", dtypes=DTYPES)
def to_host(problem: Problem, a: torch.Tensor) -> Call:
    """Into a buffer in the host's memory.

    The copy into a pinned buffer is only queued when the call returns, as an accelerator's work is: whoever reads
    the buffer waits for the device first.
    """
    return _copy(problem, _host_buffer(problem, a), a)


def _host_buffer(problem: Problem, a: torch.Tensor) -> torch.Tensor:
    op = problem.op
    if not isinstance(op, ToDevice | ToHost):
        raise TypeError(f"not a transfer: {op!r}")
    if a.device.type == "cpu":
        raise UnsupportedError(
            f"a processor has no link to itself: {op.name} moves data between the host and an accelerator"
        )
    return torch.empty(a.shape, dtype=a.dtype, device="cpu", pin_memory=op.pinned)


def _copy(problem: Problem, target: torch.Tensor, source: torch.Tensor) -> Call:
    """Return the copy; one from or to pageable memory is waited for.

    Only page-locked memory is copied asynchronously (CUDA C++ Best Practices Guide, Asynchronous and Overlapping
    Transfers with Computation).
    """
    pinned = bool(getattr(problem.op, "pinned", False))
    return partial(target.copy_, source, non_blocking=pinned)
