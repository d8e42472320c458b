"""The softmax loss of angles through torch."""

from __future__ import annotations

from functools import partial

import torch
from torch.nn import functional

from dlbench.backends.backend import implements
from dlbench.backends.torch.autograd import UNCOMPILED, backward_call, leaf
from dlbench.ops.angular_loss import TURNS
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16", "tf32")
BACKWARD: tuple[Direction, ...] = ("backward",)


def _psi(cosines: torch.Tensor) -> torch.Tensor:
    """Return (-1)^k cos(4 angle) - 2k."""
    squares = cosines.square()
    piece = torch.stack([cosines < turn for turn in TURNS]).sum(0)
    return (1 - 2 * (piece % 2)) * (8 * squares * (squares - 1) + 1) - 2 * piece


def _loss(x: torch.Tensor, w: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    places, lengths = labels[:, None], torch.linalg.vector_norm(x, dim=1, keepdim=True)
    logits = torch.matmul(x, functional.normalize(w).mT)
    of_labels = lengths * _psi(torch.gather(logits, 1, places) / lengths)
    return functional.cross_entropy(torch.scatter(logits, 1, places, of_labels), labels)


@implements("angular_softmax", variant="library", dtypes=DTYPES)
@implements("angular_softmax", variant="native", dtypes=DTYPES)
def angular_softmax(problem: Problem, x: torch.Tensor, w: torch.Tensor, labels: torch.Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """One product, the labels' logits replaced, and cross_entropy."""
    return partial(_loss, x, w, labels)


@implements("angular_softmax", variant="library", directions=BACKWARD, dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("angular_softmax", variant="native", directions=BACKWARD, dtypes=DTYPES)
def angular_softmax_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    w: torch.Tensor,
    labels: torch.Tensor,
    dloss: torch.Tensor,
) -> Call:
    """The way back through the same, two products."""
    return backward_call(partial(_loss, labels=leaf(labels, wanted=False)), [leaf(x), leaf(w)], [dloss])
