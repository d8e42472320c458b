"""The launches: their grids stay within CUDA's limits, their constants are those of the sources."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_problems import an_op, problems_of

from dlbench.backends.cupy import launches
from dlbench.backends.cupy.launches import KERNELS, Launch, launch
from dlbench.errors import UnsupportedError
from dlbench.ops.conv import Conv2d
from dlbench.ops.matmul import Matmul
from dlbench.ops.problem import Problem


def text(source: str) -> str:
    return (KERNELS / source).read_text(encoding="utf-8")


def parameters(planned: Launch) -> list[str]:
    """Return the C parameters of a kernel as its source has them, macros written out."""
    whole = text(planned.source)
    macro = re.search(r"#define PARAMETERS((?:.*\\\n)+.*)", whole)
    (listed,) = re.findall(rf"__global__ void {planned.name}\((.*?)\) {{", whole, re.DOTALL)
    listed = listed.replace("PARAMETERS", macro[1].replace("\\", "")) if macro else listed
    return [" ".join(one.split()) for one in listed.split(",")]


@given(data=st.data(), variant=st.sampled_from(["naive", "tiled"]), dtype=st.sampled_from(launches.DTYPES))
def test_the_arguments_are_those_of_the_kernels_source(
    data: st.DataObject, variant: launches.Variant, dtype: str
) -> None:
    name = data.draw(st.sampled_from(["conv2d", *launches.FORWARD_ONLY]))
    direction = data.draw(st.sampled_from(launches.CONV_DIRECTIONS)) if name == "conv2d" else "forward"
    problem = Problem(data.draw(problems_of(name, variant)), dtype, direction)
    planned = launch(problem, variant)
    taken = parameters(planned)
    tensors = len(problem.op.inputs(direction)), len(problem.op.outputs(direction))
    assert [one.startswith("const T *") for one in taken if "*" in one] == [True] * tensors[0] + [
        False
    ] * tensors[1]
    kinds = ["float" if one.startswith("float ") else "long long" for one in taken[sum(tensors) :]]
    assert kinds == ["float" if isinstance(scalar, float) else "long long" for scalar in planned.scalars]
    assert planned.defines == (f"-DDTYPE_{dtype}",)


def test_the_constants_are_those_of_the_sources() -> None:
    assert f"constexpr int THREADS = {launches.THREADS};" in text("number.cuh")
    assert f"constexpr int SIDE = {launches.SIDE};" in text("tile.cuh")
    assert f"constexpr int SIDE = {launches.TRANSPOSE_SIDE}," in text("transpose.cu")
    assert f"% {launches.PACK_BYTES} == 0" in text("stream.cu")


def test_a_tiled_matmul_takes_a_block_for_each_tile_of_each_product() -> None:
    planned = launch(Problem(Matmul(m=65, n=129, k=7, batch=5, trans_b=True), "float16"), "tiled")
    assert planned == Launch(
        source="matmul.cu",
        name="matmul_tiled",
        grid=(2 * 3 * 5, 1, 1),
        block=(256, 1, 1),
        shared=0,
        scalars=(65, 129, 7, 5, 0, 1),
        defines=("-DDTYPE_float16",),
    )


def test_a_long_vector_is_gone_through_by_a_grid_of_limited_size() -> None:
    planned = launch(Problem(an_op("triad", n=2**33)), "tiled")
    assert (planned.grid, planned.scalars) == ((2**16, 1, 1), (2**33, 3.0))


@pytest.mark.parametrize("variant", ["naive", "tiled"])
@pytest.mark.parametrize("dtype", ["tf32", "float64"])
def test_a_dtype_without_a_kernel_is_unsupported(dtype: str, variant: launches.Variant) -> None:
    with pytest.raises(
        UnsupportedError, match=f"the kernel matmul has no {dtype}; it has float32, float16, bfloat16"
    ):
        launch(Problem(Matmul(m=2, n=2, k=2), dtype), variant)


def test_a_direction_without_a_kernel_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="there is no kernel for softmax backward"):
        launch(Problem(an_op("softmax", rows=2, cols=2), direction="backward"), "naive")


def test_a_problem_beyond_the_kernels_coordinates_is_unsupported() -> None:
    huge = Problem(Conv2d(n=2**16, c=1, h=2**8, w=2**8, k=1, r=1, s=1))
    assert launch(huge, "naive").grid == (2**24, 1, 1)
    with pytest.raises(
        UnsupportedError, match="has an extent of 4294967296; the kernels count to 2147479552"
    ):
        launch(huge, "tiled")


def test_more_blocks_than_a_grid_has_are_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="takes 4294967296 blocks, more than the 2147483647 of a grid"):
        launch(Problem(an_op("sum", rows=2**32, cols=1)), "tiled")
