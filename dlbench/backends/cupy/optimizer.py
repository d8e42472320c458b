"""Steps of optimizers as array operations on a GPU, in place."""

from __future__ import annotations

import math

import cupy

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import Tensor, only
from dlbench.ops.optimizer import Adam, Sgd
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


def _own(tensors: tuple[Tensor, ...]) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Return copies of the parameters, and the gradients."""
    half = len(tensors) // 2
    return tuple(p.copy() for p in tensors[:half]), tensors[half:]


@implements("sgd", variant="library", dtypes=("float32", "float64", "float16"))
def sgd(problem: Problem, *tensors: Tensor) -> Call:
    """A kernel for each operation, one parameter after the other."""
    op = problem.op
    if not isinstance(op, Sgd):
        raise TypeError(f"not sgd: {op!r}")
    parameters, gradients = _own(tensors)
    sums = [cupy.zeros(p.shape, p.dtype) if op.momentum else p[:0] for p in parameters]
    spare, result = cupy.empty_like(parameters[0]), only(parameters)

    def step(p: Tensor, g: Tensor, u: Tensor) -> None:
        if op.weight_decay:
            cupy.multiply(p, op.weight_decay, out=spare)
            g = cupy.add(g, spare, out=spare)
        if op.momentum:
            cupy.multiply(u, op.momentum, out=u)
            g = cupy.add(u, g, out=u)
        cupy.multiply(g, op.lr, out=spare)
        cupy.subtract(p, spare, out=p)

    def call() -> Tensor:
        for p, g, u in zip(parameters, gradients, sums, strict=True):
            step(p, g, u)
        return result

    return call


@implements("adam", variant="library")
def adam(problem: Problem, *tensors: Tensor) -> Call:
    """A kernel for each operation, one parameter after the other."""
    op = problem.op
    if not isinstance(op, Adam):
        raise TypeError(f"not adam: {op!r}")
    parameters, gradients = _own(tensors)
    means, squares = ([cupy.zeros(p.shape, p.dtype) for p in parameters] for _ in range(2))
    decayed, spare = cupy.empty_like(parameters[0]), cupy.empty_like(parameters[0])
    result, steps = only(parameters), 0

    def step(p: Tensor, g: Tensor, m: Tensor, v: Tensor) -> None:
        if op.weight_decay:
            cupy.multiply(p, op.weight_decay, out=decayed)
            g = cupy.add(g, decayed, out=decayed)
        cupy.multiply(m, op.beta1, out=m)
        cupy.multiply(g, 1 - op.beta1, out=spare)
        cupy.add(m, spare, out=m)
        cupy.multiply(v, op.beta2, out=v)
        cupy.multiply(g, g, out=spare)
        cupy.multiply(spare, 1 - op.beta2, out=spare)
        cupy.add(v, spare, out=v)
        cupy.sqrt(v, out=spare)
        cupy.divide(spare, math.sqrt(1 - op.beta2**steps), out=spare)
        cupy.add(spare, op.eps, out=spare)
        cupy.divide(m, spare, out=spare)
        cupy.multiply(spare, op.lr / (1 - op.beta1**steps), out=spare)
        cupy.subtract(p, spare, out=p)

    def call() -> Tensor:
        nonlocal steps
        steps += 1
        for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
            step(p, g, m, v)
        return result

    return call
