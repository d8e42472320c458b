"""numpy as a backend."""

from __future__ import annotations

import weakref
from typing import ClassVar

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from dlbench.backends.backend import Backend, BackendSpec, Implementation, Tensor, collect
from dlbench.backends.numpy import (
    SPEC,
    activation,
    angular_loss,
    attention,
    classification_loss,
    columns,
    conv,
    conv_nd,
    conv_transpose,
    differentiation,
    dropout,
    elementwise,
    fft,
    im2col,
    indexing,
    linear,
    loss,
    matmul,
    metric_loss,
    network,
    normalization,
    optimizer,
    perceptron,
    pooling,
    quantized,
    recurrent,
    recurrent_cell,
    reduction,
    reinforcement,
    softmax,
    sorting,
    sparse,
    stream,
    tagger,
    transformer,
    transpose,
    winograd,
)
from dlbench.errors import UnsupportedError
from dlbench.ops.dtypes import Array, poison_of

_IMPLEMENTATIONS = collect(
    activation,
    angular_loss,
    attention,
    perceptron,
    classification_loss,
    conv,
    conv_nd,
    conv_transpose,
    differentiation,
    dropout,
    elementwise,
    fft,
    im2col,
    indexing,
    linear,
    loss,
    matmul,
    metric_loss,
    network,
    normalization,
    optimizer,
    pooling,
    quantized,
    recurrent,
    recurrent_cell,
    reduction,
    reinforcement,
    softmax,
    sorting,
    sparse,
    stream,
    tagger,
    transformer,
    transpose,
    winograd,
)


class NumpyBackend(Backend):
    """Arrays on the host; BLAS limited to the run's threads."""

    spec: ClassVar[BackendSpec] = SPEC

    def __init__(self, device: str, threads: int) -> None:
        """Take the device, which is the processor, and limit BLAS to so many threads."""
        super().__init__(device, threads)
        limit = threadpool_limits(limits=threads, user_api="blas")
        weakref.finalize(self, limit.restore_original_limits)

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        """Return every implementation in this folder."""
        return _IMPLEMENTATIONS

    def environment(self) -> dict[str, str]:
        """Return numpy's version and the BLAS it calls, which is not scipy's where both are loaded."""
        facts = {"numpy": np.__version__}
        pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        for pool in sorted(pools, key=lambda pool: "numpy" not in pool["filepath"])[:1]:
            architecture = pool.get("architecture", "unknown")
            facts["blas"] = f"{pool['internal_api']} {pool['version']} ({architecture})"
            facts["blas threads"] = str(pool["num_threads"])
        return facts

    def tensor(self, values: Array, dtype: str) -> Tensor:
        """Return a contiguous copy in the dtype.

        Raises UnsupportedError for a dtype that numpy has no number for.
        """
        if not hasattr(np, dtype):
            raise UnsupportedError(f"numpy has no {dtype}; torch has")
        return np.array(values, dtype=dtype, order="C")

    def host(self, tensor: Tensor) -> Array:
        """Return a float64 copy."""
        return np.array(tensor, dtype=np.float64)

    def dtype(self, tensor: Tensor) -> str:
        """Return the array's dtype."""
        return str(tensor.dtype)

    def poison(self, tensor: Tensor) -> None:
        """Fill the array with NaN, or the smallest integer."""
        tensor.fill(poison_of(str(tensor.dtype)))

    def laid_out(self, tensor: Tensor, layout: str) -> Tensor:
        """Return a copy of an array of four axes whose second one, the channels, is the last in memory.

        Raises UnsupportedError for another layout.
        """
        if layout != "NHWC" or tensor.ndim != columns.AXES:
            raise UnsupportedError(f"numpy has no layout {layout} for {tensor.ndim} axes")
        return columns.channels_last(tensor)
