"""Every kernel computes what its op says, on the host: ragged shapes, all dtypes, nothing touched beside its tensors."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from emulator import Library, check, compiler
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_problems import problems_of

from dlbench.backends.cupy.launches import CONV_DIRECTIONS, DTYPES, FORWARD_ONLY, KERNELS, Variant, launch
from dlbench.ops.conv import Conv2d
from dlbench.ops.op import Direction
from dlbench.ops.problem import Problem

DIRECTIONS: dict[str, tuple[Direction, ...]] = {"conv2d": CONV_DIRECTIONS} | dict.fromkeys(
    FORWARD_ONLY, ("forward",)
)
CASES = [(name, direction) for name, directions in DIRECTIONS.items() for direction in directions]
ELEMENT_WISE = tuple(name for name, source in FORWARD_ONLY.items() if source == "stream.cu")
EXAMPLES = 20


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", get_args(Variant))
@pytest.mark.parametrize(("name", "direction"), CASES)
def test_a_kernel_agrees_with_the_reference(
    library: Callable[[str], Library], name: str, direction: Direction, variant: Variant, dtype: str
) -> None:
    @settings(max_examples=EXAMPLES, derandomize=True, database=None)
    @given(data=st.data())
    def agrees(data: st.DataObject) -> None:
        problem = Problem(data.draw(problems_of(name, variant)), dtype, direction)
        check(library(dtype), problem, launch(problem, variant))

    agrees()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("variant", get_args(Variant))
@pytest.mark.parametrize("name", ELEMENT_WISE)
def test_an_element_wise_kernel_takes_any_grid_and_any_first_address(
    library: Callable[[str], Library], name: str, variant: Variant, dtype: str
) -> None:
    @settings(max_examples=EXAMPLES, derandomize=True, database=None)
    @given(data=st.data(), blocks=st.integers(1, 3), offset=st.integers(0, 3))
    def agrees(data: st.DataObject, blocks: int, offset: int) -> None:
        problem = Problem(data.draw(problems_of(name, variant)), dtype)
        smaller = replace(launch(problem, variant), grid=(blocks, 1, 1))
        check(library(dtype), problem, smaller, offset=offset)

    agrees()


def test_a_place_in_memory_beyond_31_bits_is_right(tmp_path: Path) -> None:
    if compiler() is None:
        pytest.skip("the kernels are compiled for the host, and there is no C++ compiler (c++, g++, clang++)")
    folder = tmp_path / "kernels"
    shutil.copytree(KERNELS, folder)
    (folder / "places.cu").write_text(
        """#include "conv2d.cu"
extern "C" __global__ void last_places(long long *last, PARAMETERS) {
    const Conv conv = CONV;
    last[0] = conv.in_x(conv.n - 1, conv.c - 1, conv.h - 1, conv.w - 1);
    last[1] = conv.in_y(conv.n - 1, conv.k - 1, conv.p - 1, conv.q - 1);
    last[2] = conv.in_w(conv.k - 1, conv.c_group() - 1, conv.r - 1, conv.s - 1);
}
""",
        encoding="utf-8",
    )
    op = Conv2d(n=300, c=2000, h=75, w=70, k=90_000, r=5, s=3, groups=2)
    planned = replace(launch(Problem(op), "naive"), name="last_places", grid=(1, 1, 1), block=(1, 1, 1))
    last = np.zeros(3, np.int64)
    Library("float32", tmp_path / "build", ["places.cu"], folder).run(planned, [last])
    sizes = [math.prod(shape) for shape in (op.x_shape, op.y_shape, op.w_shape)]
    assert last.tolist() == [size - 1 for size in sizes]
    assert min(sizes[:2]) > 2**31
