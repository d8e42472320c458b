"""numba as a backend."""

from __future__ import annotations

from typing import ClassVar

import llvmlite  # type: ignore[import-untyped]
import llvmlite.binding  # type: ignore[import-untyped]
import numba
import numpy as np

from dlbench.backends.backend import Backend, BackendSpec, Implementation, Tensor, collect
from dlbench.backends.numba import (
    SPEC,
    activation,
    angular_loss,
    attention,
    classification_loss,
    conv,
    conv_nd,
    conv_transpose,
    differentiation,
    dropout,
    elementwise,
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
    transpose,
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
    transpose,
)


class NumbaBackend(Backend):
    """numpy arrays on the host, computed by loops that LLVM has compiled."""

    spec: ClassVar[BackendSpec] = SPEC

    @classmethod
    def implementations(cls) -> tuple[Implementation, ...]:
        """Return every implementation in this folder."""
        return _IMPLEMENTATIONS

    def environment(self) -> dict[str, str]:
        """Return the compiler's versions and its target."""
        return {
            "numba": numba.__version__,
            "llvmlite": llvmlite.__version__,
            "target": llvmlite.binding.get_host_cpu_name(),
            "threads": "1",
        }

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
