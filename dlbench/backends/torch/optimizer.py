"""Steps of torch.optim's optimizers, by each of torch's ways to make one."""

from __future__ import annotations

from typing import Any

import torch

from dlbench.backends.backend import implements
from dlbench.backends.torch.autograd import leaf
from dlbench.ops.op import Op
from dlbench.ops.optimizer import Adam, Sgd
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
ADAM_DTYPES = ("float32", "float64", "bfloat16")
FUSED_SGD_DTYPES = ("float32", "float64")
"""In 16 bits torch's fused kernel for processors leaves all parameters as they are but those beyond the last full vector, up
to 2.13 at least (github.com/pytorch/pytorch/issues/191763)."""
UNCOMPILED = "the call that compiles it would be a step, and the state not the one whose answer is checked"


def _step_call(problem: Problem, tensors: tuple[torch.Tensor, ...], **way: bool) -> Call:
    """Return a call of the optimizer's step, as a training loop makes it.

    What was made outside of inference mode can be changed only there, and the call leaves the mode for the step: a few
    microseconds (docs/ops.md). The step itself turns autograd off.
    """
    half = len(tensors) // 2
    parameters = tuple(leaf(p) for p in tensors[:half])
    with torch.inference_mode(False):
        for p, g in zip(parameters, tensors[half:], strict=True):
            p.grad = leaf(g, wanted=False)
        optimizer = _optimizer(problem.op, parameters, **way)

    def call() -> tuple[torch.Tensor, ...]:
        with torch.inference_mode(False):
            optimizer.step()
        return parameters

    return call


def _optimizer(op: Op, parameters: tuple[torch.Tensor, ...], **way: bool) -> Any:
    match op:
        case Sgd():
            rates = {"momentum": op.momentum, "weight_decay": op.weight_decay}
            return torch.optim.SGD(parameters, op.lr, **rates, **way)  # type: ignore[arg-type]  # of two kinds of keywords
        case Adam():
            betas = op.beta1, op.beta2
            return torch.optim.Adam(
                parameters, op.lr, betas=betas, eps=op.eps, weight_decay=op.weight_decay, **way
            )
        case _:
            raise TypeError(f"not an optimizer: {op!r}")


@implements("sgd", variant="library", dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("adam", variant="library", dtypes=ADAM_DTYPES, uncompiled=UNCOMPILED)
def chosen(problem: Problem, *tensors: torch.Tensor) -> Call:
    """The way that torch chooses: `plain` on a processor, `foreach` on a GPU."""
    return _step_call(problem, tensors)


@implements("sgd", variant="plain", dtypes=DTYPES)
@implements("adam", variant="plain", dtypes=ADAM_DTYPES)
def plain(problem: Problem, *tensors: torch.Tensor) -> Call:
    """A loop over the parameters, an operator for each operation."""
    return _step_call(problem, tensors, foreach=False, fused=False)


@implements("sgd", variant="foreach", dtypes=DTYPES)
@implements("adam", variant="foreach", dtypes=ADAM_DTYPES)
def foreach(problem: Problem, *tensors: torch.Tensor) -> Call:
    """An operator for each operation, on all parameters at once."""
    return _step_call(problem, tensors, foreach=True)


@implements("sgd", variant="fused", dtypes=FUSED_SGD_DTYPES)
@implements("adam", variant="fused", dtypes=ADAM_DTYPES)
def fused(problem: Problem, *tensors: torch.Tensor) -> Call:
    """One operator for the whole step, on all parameters at once."""
    return _step_call(problem, tensors, fused=True)
