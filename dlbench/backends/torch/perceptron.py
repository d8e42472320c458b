"""Training steps through torch's autograd."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from dlbench.backends.backend import implements
from dlbench.backends.torch.autograd import leaf, training_call
from dlbench.ops.perceptron import MlpStep, PerceptronStep
from dlbench.ops.problem import Problem
from dlbench.ops.training import LEARNING_RATE
from dlbench.timing.clock import Call

DIRECTIONS: Any = ("forward_backward",)
DTYPES = ("float32", "float64")
"""Weights of 16 bits are not trained by themselves: mixed precision keeps them in float32 (P. Micikevicius et al., arXiv
1710.03740), and a step of pure 16-bit numbers loses what it is to show."""
UNCOMPILED = "torch.compile takes no gradient of what autograd records within the call"


def dense(x: torch.Tensor, weights: Sequence[torch.Tensor]) -> torch.Tensor:
    """Return what fully connected layers with rectifiers between them make of x; weights are w1, b1, w2, …"""
    pairs = list(zip(weights[::2], weights[1::2], strict=True))
    for w, b in pairs[:-1]:
        x = torch.relu(F.linear(x, w, b))
    return F.linear(x, *pairs[-1])


def step_call(loss: Callable[..., torch.Tensor], weights: Sequence[torch.Tensor]) -> Call:
    """Return a call that gives the loss, its gradients in the weights, and the weights after a step of gradient descent."""

    def step(*leaves: torch.Tensor) -> Any:
        value = loss(*leaves)
        gradients = torch.autograd.grad(value, leaves)
        with torch.no_grad():
            after = [torch.add(w, dw, alpha=-LEARNING_RATE) for w, dw in zip(leaves, gradients, strict=True)]
        return (value.detach(), *gradients, *after)

    return training_call(step, [leaf(weight) for weight in weights])


def fixed(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """Return copies that a graph can be recorded over, and that take no gradient."""
    return [leaf(tensor, wanted=False) for tensor in tensors]


@implements("perceptron_step", variant="library", directions=DIRECTIONS, dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("perceptron_step", variant="native", directions=DIRECTIONS, dtypes=DTYPES)
def perceptron(problem: Problem, x: torch.Tensor, t: torch.Tensor, w: torch.Tensor, b: torch.Tensor) -> Call:
    """A linear layer, sigmoid, the squared error, autograd, and the step."""
    if not isinstance(problem.op, PerceptronStep):
        raise TypeError(f"not a perceptron: {problem.op!r}")
    n = problem.op.n
    x, t = fixed(x, t)
    return step_call(lambda w, b: (torch.sigmoid(F.linear(x, w, b)) - t).square().sum() / (2 * n), (w, b))


@implements("mlp_step", variant="library", directions=DIRECTIONS, dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("mlp_step", variant="native", directions=DIRECTIONS, dtypes=DTYPES)
def mlp(problem: Problem, x: torch.Tensor, labels: torch.Tensor, *weights: torch.Tensor) -> Call:
    """Linear layers with rectifiers, torch's cross-entropy, autograd, and the step."""
    if not isinstance(problem.op, MlpStep):
        raise TypeError(f"not a multi-layer perceptron: {problem.op!r}")
    x, labels = fixed(x, labels)
    return step_call(lambda *leaves: F.cross_entropy(dense(x, leaves), labels), weights)
