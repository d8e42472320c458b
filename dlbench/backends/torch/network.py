"""Networks through torch, layer by layer as torch runs them eagerly."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, singledispatch
from typing import Any

import torch
from torch.nn import functional as F  # noqa: N812 - as everybody calls it

from dlbench.backends.backend import implements
from dlbench.ops.activation import LeakyRelu, Relu
from dlbench.ops.conv import Conv2d
from dlbench.ops.layers import Layer
from dlbench.ops.linear import Linear
from dlbench.ops.network import Layered
from dlbench.ops.normal import EPS
from dlbench.ops.normalization import BatchNorm, LocalResponseNorm
from dlbench.ops.op import Op
from dlbench.ops.pooling import AdaptiveAvgPool2d, AvgPool2d, MaxPool2d
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16", "tf32")
Step = Callable[..., torch.Tensor]


@implements("network", variant="library", dtypes=DTYPES)
@implements("residual_bottleneck", variant="library", dtypes=DTYPES)
@implements("inception_block", variant="library", dtypes=DTYPES)
@implements("network", variant="native", dtypes=DTYPES)
@implements("residual_bottleneck", variant="native", dtypes=DTYPES)
@implements("inception_block", variant="native", dtypes=DTYPES)
def network(problem: Problem, *tensors: torch.Tensor) -> Call:
    """A function of torch for each layer; a value is let go after the last layer that takes it in."""
    op = problem.op
    if not isinstance(op, Layered):
        raise TypeError(f"not layers: {op!r}")
    weights = dict(zip(op.inputs(problem.direction), tensors, strict=True))
    return partial(_forward, _plan(op.layers, weights), tensors[0])


_Planned = tuple[Step, tuple[int, ...], tuple[int, ...]]
"""A layer's function, the places of its inputs, and the places that are not needed after it."""


def _plan(layers: Sequence[Layer], weights: Mapping[str, torch.Tensor]) -> tuple[_Planned, ...]:
    places = {"x": 0} | {layer.name: place for place, layer in enumerate(layers, 1)}
    used = [tuple(places[source] for source in layer.sources) for layer in layers]
    last = {place: index for index, some in enumerate(used) for place in some}
    return tuple(
        (_step(layer, weights), some, tuple(place for place in set(some) if last[place] == index))
        for index, (layer, some) in enumerate(zip(layers, used, strict=True))
    )


def _forward(plan: Sequence[_Planned], image: torch.Tensor) -> torch.Tensor:
    values: list[Any] = [image]
    for step, sources, done in plan:
        values.append(step(*[values[source] for source in sources]))
        for place in done:
            values[place] = None
    scores: torch.Tensor = values[-1]
    return scores


def _step(layer: Layer, weights: Mapping[str, torch.Tensor]) -> Step:
    if layer.op is None:
        return torch.add if layer.join == "sum" else _joined
    return _function(layer.op, [weights[name] for name in layer.weights])


def _joined(*parts: torch.Tensor) -> torch.Tensor:
    return torch.cat(parts, 1)


@singledispatch
def _function(op: Op, weights: list[torch.Tensor]) -> Step:  # noqa: ARG001 - for its kinds
    raise TypeError(f"not a layer: {op!r}")


@_function.register
def _(op: Conv2d, weights: list[torch.Tensor]) -> Step:
    w, b = (*weights, None) if len(weights) == 1 else weights
    steps: Any = {"stride": op.strides, "padding": op.pads, "dilation": op.dilation, "groups": op.groups}
    return partial(F.conv2d, weight=w, bias=b, **steps)


@_function.register
def _(op: Linear, weights: list[torch.Tensor]) -> Step:  # noqa: ARG001 - its weights say it all
    w, b = weights
    return lambda x: F.linear(x.flatten(1), w, b)


@_function.register
def _(op: BatchNorm, weights: list[torch.Tensor]) -> Step:  # noqa: ARG001
    weight, bias, mean, var = weights
    return partial(F.batch_norm, running_mean=mean, running_var=var, weight=weight, bias=bias, eps=EPS)


@_function.register
def _(op: LocalResponseNorm, weights: list[torch.Tensor]) -> Step:  # noqa: ARG001
    return partial(_local_response_norm, size=op.size, alpha=op.alpha, beta=op.beta, k=op.k)


def _local_response_norm(x: torch.Tensor, **settings: Any) -> torch.Tensor:
    """Return torch's; in float32 for 16-bit numbers on a processor, where torch's pooling over channels has none."""
    if x.device.type == "cpu" and x.itemsize < torch.float32.itemsize:
        return F.local_response_norm(x.float(), **settings).to(x.dtype)
    return F.local_response_norm(x, **settings)


@_function.register
def _(op: Relu, weights: list[torch.Tensor]) -> Step:  # noqa: ARG001
    return torch.relu


@_function.register
def _(op: LeakyRelu, weights: list[torch.Tensor]) -> Step:  # noqa: ARG001
    return partial(F.leaky_relu, negative_slope=op.slope)


@_function.register
def _(op: MaxPool2d, weights: list[torch.Tensor]) -> Step:  # noqa: ARG001
    return partial(
        F.max_pool2d, kernel_size=(op.r, op.s), stride=op.strides, padding=op.pads, ceil_mode=op.ceil
    )


@_function.register
def _(op: AvgPool2d, weights: list[torch.Tensor]) -> Step:  # noqa: ARG001
    return partial(F.avg_pool2d, kernel_size=(op.r, op.s), stride=op.strides, padding=op.pads)


@_function.register
def _(op: AdaptiveAvgPool2d, weights: list[torch.Tensor]) -> Step:  # noqa: ARG001
    return partial(F.adaptive_avg_pool2d, output_size=(op.p, op.q))
