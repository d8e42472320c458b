"""Normalisation and its gradients through torch."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch.nn import functional

from dlbench.backends.backend import implements
from dlbench.backends.torch.autograd import UNCOMPILED, backward_call, leaf
from dlbench.backends.torch.conv import is_channels_last
from dlbench.ops.normal import EPS
from dlbench.ops.normalization import BatchNorm, GroupNorm, LocalResponseNorm
from dlbench.ops.op import Direction, Op
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

DTYPES = ("float32", "float64", "float16", "bfloat16")
WIDE_DTYPES = ("float32", "float64")
"""Of local response normalization: torch has its mean over channels, avg_pool3d, in 16 bits on a GPU only."""
LAYOUTS = ("NHWC",)
BACKWARD: tuple[Direction, ...] = ("backward",)
MOMENTUM = 0.1
"""torch's default; of no effect where there are no running statistics to update."""
ALL = (True, True, True)


def _refuse(op: Op) -> TypeError:
    return TypeError(f"not a normalisation: {op!r}")


def _wide(tensor: torch.Tensor) -> torch.Tensor:
    """Return a weight of 16 bits in float32: cuDNN's batch normalization takes no other, and mixed precision has no other."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def _in(dtype: torch.dtype, call: Call) -> Call:
    """Return a call whose outputs, some of which may be in float32, are in the dtype."""
    if dtype not in (torch.float16, torch.bfloat16):
        return call
    return lambda: tuple(one.to(dtype) for one in call())


@implements("batch_norm", variant="library", dtypes=DTYPES, layouts=LAYOUTS)
@implements("batch_norm", variant="native", dtypes=DTYPES, layouts=LAYOUTS)
def batch_forward(
    problem: Problem, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, *running: torch.Tensor
) -> Call:
    """torch.nn.functional.batch_norm: on an NVIDIA GPU cuDNN as `library`, torch's own kernels as `native`.

    Weight, bias and running statistics of a 16-bit problem are held in float32.
    """
    training, (mean, variance) = _batch(problem.op, running)
    return partial(
        functional.batch_norm, x, mean, variance, _wide(weight), _wide(bias), training, MOMENTUM, EPS
    )


@implements("batch_norm", variant="library", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
@implements("batch_norm", variant="native", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
def batch_backward(
    problem: Problem, x: torch.Tensor, dy: torch.Tensor, weight: torch.Tensor, *running: torch.Tensor
) -> Call:
    """The gradients by whichever of cuDNN and torch's own kernels has computed the forward pass, which is made before.

    That is as autograd does it. cuDNN has none but for training.
    """
    training, statistics = _batch(problem.op, running)
    weight = _wide(weight)
    aten: Any = torch.ops.aten
    impl, impl_backward = aten._batch_norm_impl_index, aten._batch_norm_impl_index_backward  # noqa: SLF001 - their names
    enabled = torch.backends.cudnn.enabled
    _, mean, scale, reserve, index = impl(
        x, weight, torch.zeros_like(weight), *statistics, training, MOMENTUM, EPS, enabled
    )
    kept = (mean, scale, training, EPS, ALL, reserve)
    return _in(x.dtype, partial(impl_backward, index, x, dy, weight, *statistics, *kept))


def _batch(op: Op, running: tuple[torch.Tensor, ...]) -> tuple[bool, Sequence[torch.Tensor | None]]:
    """Return whether it is for training, and the running mean and variance, which training is given none of."""
    if not isinstance(op, BatchNorm):
        raise _refuse(op)
    return op.training, tuple(map(_wide, running)) or (None, None)


@implements("instance_norm", variant="library", dtypes=DTYPES)
@implements("instance_norm", variant="native", dtypes=DTYPES)
def instance_forward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
) -> Call:
    """torch.nn.functional.instance_norm: batch normalization of one image that has all channels of all images.

    On an NVIDIA GPU it is therefore cuDNN's as `library`.
    """
    return partial(_instance_norm, x, _wide(weight), _wide(bias))


def _instance_norm(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    return functional.instance_norm(x, None, None, weight, bias, True, MOMENTUM, EPS)


@implements(
    "instance_norm",
    variant="library",
    directions=BACKWARD,
    dtypes=DTYPES,
    uncompiled=UNCOMPILED,
)
@implements("instance_norm", variant="native", directions=BACKWARD, dtypes=DTYPES)
def instance_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    dy: torch.Tensor,
    weight: torch.Tensor,
) -> Call:
    """The gradients by autograd: torch has no operator for them."""
    weight = _wide(weight)
    leaves = leaf(x), leaf(weight), leaf(torch.zeros_like(weight))
    return _in(x.dtype, backward_call(_instance_norm, leaves, (dy,)))


@implements("group_norm", variant="library", dtypes=DTYPES, layouts=LAYOUTS)
@implements("group_norm", variant="native", dtypes=DTYPES, layouts=LAYOUTS)
def group_forward(problem: Problem, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> Call:
    """torch.nn.functional.group_norm."""
    return partial(functional.group_norm, x, _groups(problem.op), weight, bias, EPS)


@implements("group_norm", variant="library", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
@implements("group_norm", variant="native", directions=BACKWARD, dtypes=DTYPES, layouts=LAYOUTS)
def group_backward(problem: Problem, x: torch.Tensor, dy: torch.Tensor, weight: torch.Tensor) -> Call:
    """The operator that autograd calls, with the mean and 1 / std that the forward one has kept.

    As autograd does, it copies another layout first where the device is not a processor.
    """
    groups, (n, c, h, w) = _groups(problem.op), x.shape
    aten: Any = torch.ops.aten
    _, mean, scale = aten.native_group_norm(x, weight, None, n, c, h * w, groups, EPS)
    own = is_channels_last(x) and x.device.type == "cpu"
    order = torch.channels_last if own else torch.contiguous_format
    backward = partial(aten.native_group_norm_backward, N=n, C=c, HxW=h * w, group=groups, output_mask=ALL)

    def call() -> Any:
        gradient, image = dy.contiguous(memory_format=order), x.contiguous(memory_format=order)
        return backward(gradient, image, mean, scale, weight)

    return call


def _groups(op: Op) -> int:
    if not isinstance(op, GroupNorm):
        raise _refuse(op)
    return op.groups


@implements("layer_norm", variant="library", dtypes=DTYPES)
@implements("layer_norm", variant="native", dtypes=DTYPES)
def layer_forward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
) -> Call:
    """torch.nn.functional.layer_norm over the last axis."""
    return partial(functional.layer_norm, x, weight.shape, weight, bias, EPS)


@implements("layer_norm", variant="library", directions=BACKWARD, dtypes=DTYPES)
@implements("layer_norm", variant="native", directions=BACKWARD, dtypes=DTYPES)
def layer_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    dy: torch.Tensor,
    weight: torch.Tensor,
) -> Call:
    """The operator that autograd calls, with the mean and 1 / std that the forward one has kept.

    The bias gives its shape and is never read. On a processor torch adds 16-bit gradients of the weights up in 16 bits: of
    8192 rows in bfloat16 they are off by 0.3 of their root mean square (torch 2.13), which is an incorrect answer.
    """
    shape, bias = weight.shape, torch.empty_like(weight)
    _, mean, scale = torch.ops.aten.native_layer_norm(x, shape, weight, bias, EPS)
    return partial(torch.ops.aten.native_layer_norm_backward, dy, x, shape, mean, scale, weight, bias, ALL)


@implements("rms_norm", variant="library", dtypes=DTYPES)
@implements("rms_norm", variant="native", dtypes=DTYPES)
def rms_forward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    weight: torch.Tensor,
) -> Call:
    """torch.nn.functional.rms_norm over the last axis."""
    return partial(_rms_norm, x, weight)


def _rms_norm(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return functional.rms_norm(x, weight.shape, weight, EPS)


@implements("rms_norm", variant="library", directions=BACKWARD, dtypes=DTYPES, uncompiled=UNCOMPILED)
@implements("rms_norm", variant="native", directions=BACKWARD, dtypes=DTYPES)
def rms_backward(
    problem: Problem,  # noqa: ARG001 - the tensors say it all
    x: torch.Tensor,
    dy: torch.Tensor,
    weight: torch.Tensor,
) -> Call:
    """The gradients by autograd, which has an operator of its own for them on some devices only."""
    return backward_call(_rms_norm, (leaf(x), leaf(weight)), (dy,))


@implements("local_response_norm", variant="library", dtypes=WIDE_DTYPES, layouts=LAYOUTS)
@implements("local_response_norm", variant="native", dtypes=WIDE_DTYPES, layouts=LAYOUTS)
def response_forward(problem: Problem, x: torch.Tensor) -> Call:
    """torch.nn.functional.local_response_norm, which is eight operations one after the other."""
    op = _response(problem.op)
    return partial(functional.local_response_norm, x, op.size, op.alpha, op.beta, op.k)


@implements(
    "local_response_norm",
    variant="library",
    directions=BACKWARD,
    dtypes=WIDE_DTYPES,
    layouts=LAYOUTS,
    uncompiled=UNCOMPILED,
)
@implements("local_response_norm", variant="native", directions=BACKWARD, dtypes=WIDE_DTYPES, layouts=LAYOUTS)
def response_backward(problem: Problem, x: torch.Tensor, dy: torch.Tensor) -> Call:
    """The gradient by autograd: torch has no operator for it."""
    op = _response(problem.op)
    forward = partial(functional.local_response_norm, size=op.size, alpha=op.alpha, beta=op.beta, k=op.k)
    return backward_call(forward, (leaf(x),), (dy,))


def _response(op: Op) -> LocalResponseNorm:
    if not isinstance(op, LocalResponseNorm):
        raise _refuse(op)
    return op
