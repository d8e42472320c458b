"""Every kernel compiles, without a warning, for every architecture that is supported; no GPU is needed for that."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat

import pytest

from dlbench.backends.cupy.launches import KERNELS, THREADS
from dlbench.errors import DlbenchError

pytest.importorskip("cupy", reason="NVRTC comes with cupy: pip install cupy-cuda13x")

from dlbench.backends.cupy import nvrtc

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
SOURCES = sorted(path.name for path in KERNELS.glob("*.cu"))
REGISTERS = 65536
"""32-bit registers of a multiprocessor, and the most a block may have, from 7.5 to 12.0 (CUDA C++ Programming Guide,
technical specifications per compute capability)."""
STATIC_SHARED = 48 * 1024
"""Bytes of shared memory that a kernel may declare (the same table)."""


def entries(source: str) -> set[str]:
    return set(re.findall(r"__global__ void (\w+)\(", (KERNELS / source).read_text(encoding="utf-8")))


def check(source: str, dtype: str, arch: int) -> None:
    made = nvrtc.compiled(source, (f"-DDTYPE_{dtype}",), arch, strict=True)
    assert made.log == ""
    assert made.cubin.startswith(b"\x7fELF")
    assert {use.kernel for use in made.usage} == entries(source)
    for use in made.usage:
        assert (use.spilled, use.stack) == (0, 0), use
        assert use.registers * THREADS <= REGISTERS, use
        assert use.shared <= STATIC_SHARED, use


def check_all(dtype: str, arch: int) -> None:
    """Check every source, as many at a time as there are processors: NVRTC leaves Python's lock to others."""
    if arch not in nvrtc.architectures():
        pytest.skip(f"NVRTC {nvrtc.version()} does not compile for sm_{arch}")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(check, SOURCES, repeat(dtype), repeat(arch)):
            pass


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize(
    "arch",
    [arch if arch in (75, 90, 120) else pytest.param(arch, marks=pytest.mark.slow) for arch in ARCHITECTURES],
)
def test_every_kernel_compiles_without_a_warning_or_a_spilled_register(arch: int, dtype: str) -> None:
    check_all(dtype, arch)


@pytest.mark.parametrize(
    "arch", [75, *(pytest.param(arch, marks=pytest.mark.slow) for arch in ARCHITECTURES[1:])]
)
def test_every_kernel_compiles_for_bfloat16(arch: int) -> None:
    check_all("bfloat16", arch)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_the_tiled_stream_kernels_move_16_bytes_at_a_time_and_the_naive_ones_do_not(dtype: str) -> None:
    ptx = nvrtc.compiled("stream.cu", (f"-DDTYPE_{dtype}",), 80).ptx
    kernels = dict(re.findall(r"\.entry (\w+)\((.*?\n)\}", ptx, re.DOTALL))
    assert set(kernels) == entries("stream.cu")
    for name, body in kernels.items():
        moves = ("ld.global.nc.v4." in body, "st.global.v4." in body)
        assert moves == ((True, True) if name.endswith("_tiled") else (False, False)), name


def test_a_kernel_that_does_not_compile_is_said_so_with_the_compilers_words() -> None:
    with pytest.raises(DlbenchError, match=r"(?s)sum\.cu does not compile for sm_80: .*define DTYPE_float32"):
        nvrtc.compiled("sum.cu", (), 80)
