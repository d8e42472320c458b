"""What the check of the arithmetic catches: kernels with one small slip each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from emulator import Library, WrongKernelError, check
from kernel_problems import an_op

from dlbench.backends.cupy.launches import KERNELS, Variant, launch
from dlbench.ops.conv import Conv2d
from dlbench.ops.matmul import Matmul
from dlbench.ops.op import Direction, Distribution, Op
from dlbench.ops.problem import Problem

MATMUL = Matmul(m=70, n=66, k=35)
CONV = Conv2d(n=2, c=6, h=6, w=4, k=70, r=3, s=2, stride=2, pad=1, groups=2)


@dataclass(frozen=True)
class Mutant:
    """One change of one file, what it is caught by, and on which problem."""

    slip: str
    file: str
    old: str
    new: str
    source: str
    op: Op
    variant: Variant
    caught: str
    direction: Direction = "forward"
    data: Distribution = "normal"


MUTANTS = [
    Mutant(
        "a thread beyond the last element computes one",
        "matmul.cu",
        "number >= batch * m * n",
        "number > batch * m * n",
        "matmul.cu",
        MATMUL,
        "naive",
        "wrote beside its output c",
    ),
    Mutant(
        "a tile reads one term too many",
        "tile.cuh",
        "top + line < rows && first + term < depth",
        "top + line < rows && first + term <= depth",
        "matmul.cu",
        MATMUL,
        "tiled",
        "NaN",
    ),
    Mutant(
        "a tile writes one row too many",
        "tile.cuh",
        "if (row < rows && column < columns)",
        "if (row <= rows && column < columns)",
        "matmul.cu",
        MATMUL,
        "tiled",
        "wrote beside its output c",
    ),
    Mutant(
        "the tiles are used before they are complete",
        "tile.cuh",
        "__syncthreads();  // the tiles are complete",
        "",
        "matmul.cu",
        MATMUL,
        "tiled",
        "relative error|NaN",
    ),
    Mutant(
        "the tiles are loaded anew while they are used",
        "tile.cuh",
        "__syncthreads();  // nobody reads them any more",
        "",
        "matmul.cu",
        MATMUL,
        "tiled",
        "relative error",
    ),
    Mutant(
        "the step along the sum is one short of the tile",
        "tile.cuh",
        "first += DEPTH)",
        "first += DEPTH - 1)",
        "conv2d.cu",
        CONV,
        "tiled",
        "relative error",
        "backward_weight",
    ),
    Mutant(
        "the image's first row counts as padding",
        "conv2d.cu",
        "0 <= i && i < h",
        "0 < i && i < h",
        "conv2d.cu",
        CONV,
        "tiled",
        "relative error",
    ),
    Mutant(
        "the image ends one column late",
        "conv2d.cu",
        "0 <= j && j < w",
        "0 <= j && j <= w",
        "conv2d.cu",
        CONV,
        "naive",
        "relative error|NaN",
    ),
    Mutant(
        "the gradient ends one row late",
        "conv2d.cu",
        "p_ < p && q_ < q",
        "p_ <= p && q_ < q",
        "conv2d.cu",
        CONV.model_copy(update={"stride": 1}),
        "tiled",
        "relative error|NaN",
        "backward_data",
    ),
    Mutant(
        "a group begins one filter late",
        "conv2d.cu",
        "first = my_c / conv.c_group() * conv.k_group()",
        "first = my_c / conv.c_group() * conv.k_group() + 1",
        "conv2d.cu",
        CONV,
        "naive",
        "relative error|NaN",
        "backward_data",
    ),
    Mutant(
        "a reduction by halves forgets the last half",
        "reduce.cuh",
        "half > 0",
        "half > 1",
        "softmax.cu",
        an_op("softmax", rows=3, cols=300),
        "tiled",
        "relative error",
    ),
    Mutant(
        "a reduction goes on before all have added",
        "reduce.cuh",
        "        __syncthreads();\n    }",
        "    }",
        "sum.cu",
        an_op("sum", rows=3, cols=300),
        "tiled",
        "relative error|NaN",
    ),
    Mutant(
        "only some of the threads meet the barrier",
        "reduce.cuh",
        "partial[thread + half]);\n        __syncthreads();",
        "partial[thread + half]), __syncthreads();",
        "sum.cu",
        an_op("sum", rows=3, cols=300),
        "tiled",
        "thread 0 stands at line",
    ),
    Mutant(
        "a row is summed with the first element of the next",
        "sum.cu",
        "for (long long i = 0; i < cols; ++i)",
        "for (long long i = 0; i <= cols; ++i)",
        "sum.cu",
        an_op("sum", rows=3, cols=30),
        "naive",
        "relative error|NaN",
    ),
    Mutant(
        "a row too many",
        "sum.cu",
        "if (row >= rows) return;",
        "if (row > rows) return;",
        "sum.cu",
        an_op("sum", rows=3, cols=30),
        "naive",
        "wrote beside its output y",
    ),
    Mutant(
        "a tile is turned one column too wide",
        "transpose.cu",
        "left + i < cols && top + across < rows",
        "left + i < cols && top + across <= rows",
        "transpose.cu",
        an_op("transpose", rows=40, cols=35),
        "tiled",
        "relative error|NaN|beside",
    ),
    Mutant(
        "the tail begins one element late",
        "stream.cu",
        "one_by_one(a, b, c, packs * WIDTH, n, scalar, op)",
        "one_by_one(a, b, c, packs * WIDTH + 1, n, scalar, op)",
        "stream.cu",
        an_op("triad", n=1003),
        "tiled",
        "NaN",
    ),
    Mutant(
        "the logistic function of the negative",
        "stream.cu",
        "sigmoid_of(float a, float, float) { return 1.0f / (1.0f + expf(-a)); }",
        "sigmoid_of(float a, float, float) { return 1.0f / (1.0f + expf(a)); }",
        "stream.cu",
        an_op("sigmoid", n=1003),
        "tiled",
        "relative error",
    ),
    Mutant(
        "the slope on the side of the positive",
        "stream.cu",
        "return a < 0.0f ? slope * a : a;",
        "return a < 0.0f ? a : slope * a;",
        "stream.cu",
        an_op("leaky_relu", n=1003, slope=0.5),
        "naive",
        "relative error",
    ),
    Mutant(
        "a step that is 1 at 0",
        "stream.cu",
        "return a > 0.0f ? 1.0f : 0.0f;",
        "return a < 0.0f ? 0.0f : 1.0f;",
        "stream.cu",
        an_op("step", n=1003),
        "naive",
        "relative error",
        data="integers",
    ),
    Mutant(
        "the tanh form takes the square for the cube",
        "stream.cu",
        "0.044715f * a * a * a",
        "0.044715f * a * a",
        "stream.cu",
        an_op("gelu", n=1003, approximate=True),
        "naive",
        "relative error",
    ),
    Mutant(
        "a step of 16 bytes too many",
        "stream.cu",
        "i < packs;",
        "i <= packs;",
        "stream.cu",
        an_op("copy", n=1003),
        "tiled",
        "wrote beside its output c",
    ),
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.slip)
def test_a_slip_in_a_kernel_is_caught(
    library: Callable[[str], Library], mutant: Mutant, tmp_path: Path
) -> None:
    kernels = tmp_path / "kernels"
    shutil.copytree(KERNELS, kernels)
    text = (kernels / mutant.file).read_text(encoding="utf-8")
    assert text.count(mutant.old) == 1
    problem = Problem(mutant.op, "float32", mutant.direction, mutant.data)
    planned = launch(problem, mutant.variant)
    check(library("float32"), problem, planned)
    (kernels / mutant.file).write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    slipped = Library("float32", tmp_path / "slipped", [mutant.source], kernels)
    with pytest.raises(WrongKernelError, match=mutant.caught):
        check(slipped, problem, planned)
