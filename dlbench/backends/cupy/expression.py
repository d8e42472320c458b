"""Kernels that cupy makes of one expression in C, which is evaluated for each element."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cupy

from dlbench.backends.cupy.programs import Tensor, only, outputs_of
from dlbench.backends.cupy.softmax import wide
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call


def kernel(name: str, expression: str, output: str, *inputs: str) -> Callable[..., Any]:
    """Return the kernel that takes the inputs, scalars among them, and at the end the output that it writes.

    Inputs and output are told as "float16 x". Of float16 numbers cupy makes C's float before it multiplies or adds.
    """
    made: Callable[..., Any] = cupy.ElementwiseKernel(
        ", ".join(inputs), output, f"{output.split()[1]} = {expression}", name
    )
    return made


def one_pass(problem: Problem, expression: str, *inputs: Tensor, **scalars: float) -> Call:
    """Return a call that computes the problem's only output from its inputs and the scalars, in one kernel."""
    op, direction, number = problem.op, problem.direction, wide(problem.dtype)
    (output,) = op.outputs(direction)
    taken = [f"{problem.format(name)} {name}" for name in op.inputs(direction)]
    taken += [f"{number} {name}" for name in scalars]
    made = kernel(f"{op.name}_{direction}", expression, f"{problem.format(output)} {output}", *taken)
    y = only(outputs_of(problem))
    arguments = (*inputs, *scalars.values(), y)

    def call() -> Tensor:
        made(*arguments)
        return y

    return call
