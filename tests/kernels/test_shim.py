"""The shim in which the kernels run on the host: its number formats are those of IEEE 754, and of numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from emulator import Guarded, Library, WrongKernelError, compiler

from dlbench.backends.cupy.launches import KERNELS, Launch
from dlbench.ops.dtypes import rounded

CONVERT = """
#include "number.cuh"
extern "C" __global__ void widen(const T *x, float *y, long long n) {
    if (my_number() < n) y[my_number()] = wide(x[my_number()]);
}
extern "C" __global__ void shorten(const float *x, T *y, long long n) {
    if (my_number() < n) y[my_number()] = narrow(x[my_number()]);
}
extern "C" __global__ void leave(float *y, long long n) {
    if (my_number() < n) __syncthreads();
    y[my_number()] = 0;
}
"""


def convert(dtype: str, folder: Path) -> Library:
    if compiler() is None:
        pytest.skip("the kernels are compiled for the host, and there is no C++ compiler (c++, g++, clang++)")
    (folder / "convert.cu").write_text(CONVERT, encoding="utf-8")
    (folder / "number.cuh").write_text((KERNELS / "number.cuh").read_text(encoding="utf-8"), encoding="utf-8")
    return Library(dtype, folder, ["convert.cu"], folder)


def over(kernel: str, n: int) -> Launch:
    return Launch("convert.cu", kernel, (-(-n // 256), 1, 1), (256, 1, 1), 0, (n,), ())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_every_number_of_16_bits_is_read_as_numpy_reads_it(dtype: str, tmp_path: Path) -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    found = np.empty(bits.size, np.float32)
    convert(dtype, tmp_path).run(over("widen", bits.size), [bits, found])
    if dtype == "float16":
        expected = bits.view(np.float16).astype(np.float32)
    else:
        expected = (bits.astype(np.uint32) << 16).view(np.float32)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_numbers_are_rounded_to_nearest_even_as_numpy_rounds_them(dtype: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    spread = rng.standard_normal(40_000) * 2.0 ** rng.integers(-30, 18, 40_000)
    halfway = np.arange(2**12) / 2**11 * 2.0 ** rng.integers(-26, 15, 2**12)
    edges = np.array(
        [0.0, -0.0, 65504.0, 65519.99, 65520.0, -65520.0, 2.0**-14, 2.0**-24, 2.0**-25, 1.5 * 2.0**-25]
    )
    x = np.concatenate([spread, halfway, edges]).astype(np.float32)
    found = np.empty(x.size, np.uint16)
    convert(dtype, tmp_path).run(over("shorten", x.size), [x, found])
    if dtype == "float16":
        with np.errstate(over="ignore"):
            expected = x.astype(np.float16).view(np.uint16)
    else:
        expected = (rounded(x.astype(np.float64), dtype).astype(np.float32).view(np.uint32) >> 16).astype(
            np.uint16
        )
    np.testing.assert_array_equal(found, expected)


def test_a_thread_that_ends_while_others_wait_at_a_barrier_is_an_error(tmp_path: Path) -> None:
    y = np.ones(256, np.float32)
    library = convert("float32", tmp_path)
    library.run(over("leave", 256), [y])
    assert not y.any()
    with pytest.raises(WrongKernelError, match=r"thread 0 stands at line 10, thread 3 at line 0"):
        library.run(Launch("convert.cu", "leave", (1, 1, 1), (256, 1, 1), 0, (3,), ()), [y])


def test_a_buffer_begins_where_it_should_and_notices_what_is_written_around_it() -> None:
    for offset in (0, 1, 3):
        guarded = Guarded.of(5, "float16", offset=offset)
        assert guarded.inside.ctypes.data % 16 == 2 * offset
        guarded.inside[:] = 7
        assert not guarded.broken()
        place = int(np.flatnonzero(guarded.whole == 7)[-1]) + 1
        guarded.whole[place] = 7
        assert guarded.broken()
        assert list(guarded.inside) == [7] * 5
