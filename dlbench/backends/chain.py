"""A network as a chain of a backend's own ops, for backends whose calls write into memory of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlbench.backends.backend import Implementation, Tensor
from dlbench.errors import UnsupportedError
from dlbench.ops.layers import IMAGE, Layer
from dlbench.ops.network import Layered
from dlbench.ops.op import Op
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

Join = Callable[..., Tensor]
"""`join(inputs, out)`: writes what joins the inputs into `out`."""


@dataclass(frozen=True)
class Kit:
    """What a chain is made of: the backend's implementations, the variants wanted of them, the best first, and the joins."""

    implementations: Sequence[Implementation]
    variants: Sequence[str]
    joins: Mapping[str, Join]

    def prepare(self, problem: Problem, *tensors: Tensor) -> Call:
        """Return the first wanted variant's call. Raises UnsupportedError where there is none."""
        for variant in self.variants:
            for one in self.implementations:
                if (one.op, one.variant) == (problem.op.name, variant) and not one.refusal(problem):
                    return one.prepare(problem, *tensors)
        raise UnsupportedError(f"no {problem.op.name} {problem.dtype} as {' or '.join(self.variants)} here")


def chained(problem: Problem, tensors: Sequence[Tensor], kit: Kit) -> Call:
    """Return a call of a network's layers in turn, each prepared on the memory that the one before writes into."""
    op = problem.op
    if not isinstance(op, Layered):
        raise TypeError(f"not layers: {op!r}")
    weights = dict(zip(op.inputs(problem.direction), tensors, strict=True))
    values = {IMAGE: weights[IMAGE]}
    calls = []
    for layer in op.layers:
        inputs = [values[source] for source in layer.sources]
        call = _layer_call(layer, inputs, weights, problem.dtype, kit)
        values[layer.name] = call().reshape(layer.shape)
        calls.append(call)
    *before, last = calls
    y = values[op.layers[-1].name]

    def whole() -> Tensor:
        for call in before:
            call()
        last()
        return y

    return whole


def _layer_call(
    layer: Layer, inputs: list[Tensor], weights: Mapping[str, Tensor], dtype: str, kit: Kit
) -> Call:
    """Return a call that writes the layer's output into the same contiguous memory each time."""
    if layer.op is None:
        join, out = kit.joins[layer.join], np.empty(layer.shape, inputs[0].dtype)
        return lambda: join(inputs, out)
    given = [inputs[0].reshape(layer.in_shape), *(weights[name] for name in layer.weights)]
    bias = given.pop()[:, None, None] if layer.bias else None
    call = _settled(layer.op, kit.prepare(Problem(layer.op, dtype), *given))
    return call if bias is None else _biased(call, bias)


def _settled(op: Op, call: Call) -> Call:
    """Return the call, its answer copied where it stands in other memory each time or has gaps."""
    answer: Any = call()
    if answer is call() and answer.flags.c_contiguous:
        return call
    (shape,) = op.outputs("forward").values()
    kept = np.empty(shape, answer.dtype)

    def copied() -> Tensor:
        np.copyto(kept, call())
        return kept

    return copied


def _biased(call: Call, bias: Tensor) -> Call:
    def added() -> Tensor:
        y = call()
        return np.add(y, bias, out=y)

    return added
