"""STREAM's kernels, the transpose and copies over the link, as array operations and by kernels of one's own."""

from __future__ import annotations

import cupy
import numpy as np

from dlbench.backends.backend import implements
from dlbench.backends.cupy.programs import KERNEL_DTYPES, Tensor, kernel_call, only, outputs_of
from dlbench.ops.problem import Problem
from dlbench.ops.stream import SCALAR
from dlbench.timing.clock import Call

LIBRARY_DTYPES = ("float32", "float64", "float16")


@implements("copy", variant="library", dtypes=LIBRARY_DTYPES)
def copy(problem: Problem, a: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """c = a, by the driver's copy within the device's memory."""
    c = cupy.empty_like(a)

    def call() -> Tensor:
        c.data.copy_from_device_async(a.data, a.nbytes)
        return c

    return call


@implements("scale", variant="library", dtypes=LIBRARY_DTYPES)
def scale(problem: Problem, a: Tensor) -> Call:  # noqa: ARG001 - the tensor says it all
    """c = 3 a."""
    c, scalar = cupy.empty_like(a), a.dtype.type(SCALAR)
    return lambda: cupy.multiply(a, scalar, out=c)


@implements("add", variant="library", dtypes=LIBRARY_DTYPES)
def add(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """c = a + b."""
    c = cupy.empty_like(a)
    return lambda: cupy.add(a, b, out=c)


@implements("triad", variant="library", dtypes=LIBRARY_DTYPES)
def triad(problem: Problem, a: Tensor, b: Tensor) -> Call:  # noqa: ARG001 - the tensors say it all
    """c = a + 3 b in one pass, by a kernel that cupy makes from the expression."""
    c, scalar = cupy.empty_like(a), a.dtype.type(SCALAR)
    kernel = cupy.ElementwiseKernel("T a, T b, T scalar", "T c", "c = a + scalar * b", "triad_in_one_pass")
    return lambda: kernel(a, b, scalar, c)


@implements("transpose", variant="library", dtypes=LIBRARY_DTYPES)
def transpose(problem: Problem, x: Tensor) -> Call:
    """The transposed view, copied."""
    y, view = only(outputs_of(problem)), x.T

    def call() -> Tensor:
        cupy.copyto(y, view)
        return y

    return call


@implements("to_device", variant="library", dtypes=LIBRARY_DTYPES)
def to_device(problem: Problem, a: Tensor) -> Call:
    """The driver's copy from the host's memory, in the current stream."""
    host, c = _on_the_host(a, pinned=problem.op.model_dump()["pinned"]), cupy.empty_like(a)

    def call() -> Tensor:
        c.data.copy_from_host_async(host.ctypes.data, host.nbytes)
        return c

    return call


@implements("to_host", variant="library", dtypes=LIBRARY_DTYPES)
def to_host(problem: Problem, a: Tensor) -> Call:
    """The driver's copy into the host's memory, in the current stream."""
    host = _on_the_host(a, pinned=problem.op.model_dump()["pinned"])

    def call() -> Tensor:
        a.data.copy_to_host_async(host.ctypes.data, host.nbytes)
        return host

    return call


def _on_the_host(a: Tensor, *, pinned: bool) -> Tensor:
    """Return the values as a numpy array, in page-locked memory if asked for."""
    values = cupy.asnumpy(a)
    if not pinned:
        return values
    host = np.frombuffer(cupy.cuda.alloc_pinned_memory(values.nbytes), values.dtype, values.size)
    host[:] = values
    return host


@implements("copy", variant="naive", dtypes=KERNEL_DTYPES)
@implements("scale", variant="naive", dtypes=KERNEL_DTYPES)
@implements("add", variant="naive", dtypes=KERNEL_DTYPES)
@implements("triad", variant="naive", dtypes=KERNEL_DTYPES)
@implements("transpose", variant="naive", dtypes=KERNEL_DTYPES)
def naive(problem: Problem, *inputs: Tensor) -> Call:
    """A thread for each element."""
    return kernel_call(problem, "naive", *inputs)


@implements("copy", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("scale", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("add", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("triad", variant="tiled", dtypes=KERNEL_DTYPES)
@implements("transpose", variant="tiled", dtypes=KERNEL_DTYPES)
def tiled(problem: Problem, *inputs: Tensor) -> Call:
    """16 bytes for each thread; the transpose through tiles in shared memory."""
    return kernel_call(problem, "tiled", *inputs)
