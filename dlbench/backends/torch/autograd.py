"""Gradients by torch's autograd, for what has no operator of its own that computes them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from dlbench.timing.clock import Call

UNCOMPILED = (
    "the gradient goes back through a graph that was recorded before, which torch.compile cannot take up"
)
"""For `uncompiled` of an implementation that returns `backward_call`."""

Outputs = torch.Tensor | tuple[torch.Tensor, ...]


def leaf(tensor: torch.Tensor, *, wanted: bool = True) -> torch.Tensor:
    """Return a copy that a graph can be recorded over; a tensor made in inference mode cannot be."""
    with torch.inference_mode(False):
        return tensor.detach().clone().requires_grad_(wanted)


def backward_call(
    forward: Callable[..., Outputs], leaves: Sequence[torch.Tensor], gradients: Sequence[torch.Tensor]
) -> Call:
    """Return a call that takes the gradient of `forward(*leaves)` back to those leaves that want one.

    `forward` is called once, here: only the way back is timed. `gradients` are those of its outputs. The call returns
    one gradient, or a tuple of them in the order of the leaves.
    """
    with torch.inference_mode(False), torch.enable_grad():
        outputs = forward(*leaves)
        given = tuple(leaf(gradient, wanted=False) for gradient in gradients)
    roots = outputs if isinstance(outputs, tuple) else (outputs,)
    wanted = tuple(one for one in leaves if one.requires_grad)

    def call() -> Any:
        with torch.inference_mode(False):
            found = torch.autograd.grad(roots, wanted, given, retain_graph=True)
        return found[0] if len(found) == 1 else found

    return call


def training_call(forward: Callable[..., Outputs], leaves: Sequence[torch.Tensor]) -> Call:
    """Return a call of `forward(*leaves)` with autograd on, in which it records its graph and goes back by itself."""

    def call() -> Any:
        with torch.inference_mode(False), torch.enable_grad():
            return forward(*leaves)

    return call
