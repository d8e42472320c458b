"""How each kernel in `kernels/` is launched for a problem: its grid, its arguments and how it is compiled.

Everything here is arithmetic on the problem's extents; no framework is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dlbench.errors import UnsupportedError
from dlbench.ops.activation import Gelu, LeakyRelu
from dlbench.ops.conv import Conv2d
from dlbench.ops.conv_nd import Conv1d
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Direction, Op
from dlbench.ops.problem import Problem
from dlbench.ops.stream import SCALAR

Variant = Literal["naive", "tiled"]
Scalars = tuple[int | float, ...]

KERNELS = Path(__file__).parent / "kernels"
"""The folder of the sources, which the compiler also needs as an include path (`-I`)."""

DTYPES = ("float32", "float16", "bfloat16")
"""The dtypes of every kernel; each adds up in float32."""

THREADS = 256
"""Threads of a block, in every kernel: `THREADS` in number.cuh."""
SIDE = 64
"""Rows and columns of the tile that a block of a tiled matmul or conv2d computes: `SIDE` in tile.cuh."""
TRANSPOSE_SIDE = 32
"""Rows and columns of the tile that a block of the tiled transpose turns."""
PACK_BYTES = 16
"""Bytes that a thread of a tiled element-wise kernel loads at a time."""

MOST_BLOCKS = 2**31 - 1
"""Blocks along x (CUDA C++ Programming Guide, technical specifications per compute capability)."""
WAVES = 2**16
"""Blocks of an element-wise kernel at most; each thread takes several elements beyond. About 60 for each place a
block of 256 threads has on the 132 multiprocessors of an H100, with 2048 threads each (NVIDIA H100 whitepaper,
2022), and more on smaller GPUs: all places are busy to the end."""
MOST_COORDINATE = 2**31 - 2**12
"""Where kernels count rows, columns and terms in 32 bits, which divide far faster: a tile less than 2^31."""

FORWARD_ONLY = {
    "add": "stream.cu",
    "copy": "stream.cu",
    "gelu": "stream.cu",
    "leaky_relu": "stream.cu",
    "log_softmax": "softmax.cu",
    "matmul": "matmul.cu",
    "relu": "stream.cu",
    "scale": "stream.cu",
    "sigmoid": "stream.cu",
    "silu": "stream.cu",
    "softmax": "softmax.cu",
    "step": "stream.cu",
    "sum": "sum.cu",
    "tanh": "stream.cu",
    "transpose": "transpose.cu",
    "triad": "stream.cu",
}
"""The source of each op whose forward direction alone has kernels."""
CONV_DIRECTIONS: tuple[Direction, ...] = ("forward", "backward_data", "backward_weight")


@dataclass(frozen=True, slots=True)
class Launch:
    """One launch of one kernel.

    The kernel's arguments are pointers to the inputs in the order of `op.inputs(direction)`, contiguous, pointers
    to the outputs, and then `scalars`: an int is a C `long long` (8 bytes), a float is a C `float` (4 bytes). The
    kernel writes every element of its outputs and none of its inputs. `name` is the kernel's extern "C" name;
    `source` the file in KERNELS, to be compiled as C++17 with `defines` and KERNELS as an include path; `shared`
    the bytes of dynamic shared memory.
    """

    source: str
    name: str
    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    shared: int
    scalars: Scalars
    defines: tuple[str, ...]


def launch(problem: Problem, variant: Variant) -> Launch:
    """Return how the variant's kernel computes the problem; a conv1d is a conv2d of images of one row.

    Raises UnsupportedError where there is no such kernel, or the problem is too large for its coordinates.
    """
    if isinstance(problem.op, Conv1d):
        problem = replace(problem, op=problem.op.as_conv2d())
    source, name = _kernel(problem)
    if problem.dtype not in DTYPES:
        raise UnsupportedError(f"the kernel {name} has no {problem.dtype}; it has {', '.join(DTYPES)}")
    blocks, scalars = _PLANS[problem.op.name](problem, variant)
    if blocks > MOST_BLOCKS:
        raise UnsupportedError(
            f"{problem.label} takes {blocks} blocks, more than the {MOST_BLOCKS} of a grid"
        )
    return Launch(
        source=source,
        name=f"{name}_{variant}",
        grid=(blocks, 1, 1),
        block=(THREADS, 1, 1),
        shared=0,
        scalars=scalars,
        defines=(f"-DDTYPE_{problem.dtype}",),
    )


def _kernel(problem: Problem) -> tuple[str, str]:
    """Return the source file and the kernel's name without the variant."""
    name, direction = problem.op.name, problem.direction
    if name == "conv2d" and direction in CONV_DIRECTIONS:
        return "conv2d.cu", f"conv2d_{direction}"
    if name in FORWARD_ONLY and direction == "forward":
        by_tanh = isinstance(problem.op, Gelu) and problem.op.approximate
        return FORWARD_ONLY[name], "gelu_tanh" if by_tanh else name
    raise UnsupportedError(f"there is no kernel for {name} {direction}")


def _matmul(problem: Problem, variant: Variant) -> tuple[int, Scalars]:
    op = problem.op
    if not isinstance(op, Matmul):
        raise TypeError(f"not a matrix product: {op!r}")
    if not op.plain:
        raise UnsupportedError(f"{problem.label}: the kernel matmul has no alpha and beta")
    m, n, k, batch, trans_a, trans_b = _of(op, "m", "n", "k", "batch", "trans_a", "trans_b")
    scalars = m, n, k, batch, trans_a, trans_b
    if variant == "naive":
        return _ceil(batch * m * n, THREADS), scalars
    return _tiles(problem, m, n, k) * batch, scalars


def _conv2d(problem: Problem, variant: Variant) -> tuple[int, Scalars]:
    op = problem.op
    if not isinstance(op, Conv2d):
        raise TypeError(f"not a convolution: {op!r}")
    n, c, h, w, k, r, s, p, q = _of(op, "n", "c", "h", "w", "k", "r", "s", "p", "q")
    dilation, groups = _of(op, "dilation", "groups")
    (stride_h, stride_w), (pad_h, pad_w) = op.strides, op.pads
    _fit(problem, n, c, k, h + 2 * pad_h, w + 2 * pad_w, stride_h, stride_w)
    scalars = n, c, h, w, k, r, s, p, q, stride_h, stride_w, pad_h, pad_w, dilation, groups
    c_group, k_group = c // groups, k // groups
    outputs, pixels, taps = n * p * q, n * h * w, r * s
    match problem.direction, variant:
        case "forward", "naive":
            blocks = _ceil(outputs * k, THREADS)
        case "forward", _:
            blocks = groups * _tiles(problem, k_group, outputs, c_group * taps)
        case "backward_data", "naive":
            blocks = _ceil(pixels * c, THREADS)
        case "backward_data", _:
            blocks = groups * _tiles(problem, c_group, pixels, k_group * taps)
        case _, "naive":
            blocks = _ceil(k * c_group * taps, THREADS)
        case _:
            blocks = groups * _tiles(problem, k_group, c_group * taps, outputs)
    return blocks, scalars


def _rows(problem: Problem, variant: Variant) -> tuple[int, Scalars]:
    """A thread a row, or a block a row."""
    rows, cols = _of(problem.op, "rows", "cols")
    return _ceil(rows, THREADS) if variant == "naive" else rows, (rows, cols)


def _transpose(problem: Problem, variant: Variant) -> tuple[int, Scalars]:
    rows, cols = _of(problem.op, "rows", "cols")
    if variant == "naive":
        return _ceil(rows * cols, THREADS), (rows, cols)
    return _ceil(rows, TRANSPOSE_SIDE) * _ceil(cols, TRANSPOSE_SIDE), (rows, cols)


def _elements(problem: Problem, variant: Variant) -> tuple[int, Scalars]:
    (n,) = _of(problem.op, "n")
    itemsize = 4 if problem.dtype == "float32" else 2
    step = THREADS if variant == "naive" else THREADS * PACK_BYTES // itemsize
    return min(_ceil(n, step), WAVES), (n, *_factor(problem.op))


def _factor(op: Op) -> Scalars:
    """Return what an element-wise kernel multiplies by, where it does."""
    if isinstance(op, LeakyRelu):
        return (op.slope,)
    return (SCALAR,) if op.name in {"scale", "triad"} else ()


_PLANS: dict[str, Callable[[Problem, Variant], tuple[int, Scalars]]] = {
    "add": _elements,
    "conv2d": _conv2d,
    "copy": _elements,
    "gelu": _elements,
    "leaky_relu": _elements,
    "log_softmax": _rows,
    "matmul": _matmul,
    "relu": _elements,
    "scale": _elements,
    "sigmoid": _elements,
    "silu": _elements,
    "softmax": _rows,
    "step": _elements,
    "sum": _rows,
    "tanh": _elements,
    "transpose": _transpose,
    "triad": _elements,
}
"""By op: how many blocks, and which scalars, for a problem and a variant."""


def _of(op: Op, *names: str) -> tuple[int, ...]:
    return tuple(int(getattr(op, name)) for name in names)


def _ceil(count: int, size: int) -> int:
    return -(-count // size)


def _tiles(problem: Problem, rows: int, columns: int, depth: int) -> int:
    """Return how many tiles a product of rows × columns sums of `depth` terms takes."""
    _fit(problem, rows, columns, depth)
    return _ceil(rows, SIDE) * _ceil(columns, SIDE)


def _fit(problem: Problem, *extents: int) -> None:
    if max(extents) > MOST_COORDINATE:
        raise UnsupportedError(
            f"{problem.label} has an extent of {max(extents)}; the kernels count to {MOST_COORDINATE}"
        )
