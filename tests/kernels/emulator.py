"""Run the CUDA C++ kernels on the host: the host's compiler, the shim's fibres, and buffers with guards around them."""

from __future__ import annotations

import ctypes
import math
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlbench.backends.cupy.launches import KERNELS, Launch
from dlbench.ops.dtypes import Array
from dlbench.ops.problem import Problem
from dlbench.ops.tolerance import tolerance

SHIM = Path(__file__).parent / "shim"
SOURCES = tuple(sorted(path.name for path in KERNELS.glob("*.cu")))
GUARD = 4096
"""Bytes around each buffer."""
ALIGNMENT = 16
MARK = 0x5A5A
"""What is around an output: small numbers that no kernel computes."""
Buffer = np.ndarray[Any, np.dtype[Any]]

_NAN = {"float32": (np.uint32, 0x7FC00000), "float16": (np.uint16, 0x7E00), "bfloat16": (np.uint16, 0x7FC0)}
"""By dtype: an unsigned format of the same size, and a NaN in its bits."""


class WrongKernelError(AssertionError):
    """A kernel computed something else, touched what is not its own, or left threads waiting at a barrier."""


def compiler() -> str | None:
    """Return a C++ compiler of this machine, None where it has none."""
    return next((found for name in ("c++", "g++", "clang++") if (found := shutil.which(name))), None)


class Library:
    """Kernel sources compiled for the host in one dtype."""

    def __init__(
        self, dtype: str, into: Path, sources: Iterable[str] = SOURCES, kernels: Path = KERNELS
    ) -> None:
        self.dtype = dtype
        self._library = ctypes.CDLL(os.fspath(self._compiled(into, tuple(sources), kernels)))

    def _compiled(self, into: Path, sources: tuple[str, ...], kernels: Path) -> Path:
        texts = [(kernels / source).read_text(encoding="utf-8") for source in sources]
        names = [name for text in texts for name in re.findall(r"__global__ void (\w+)\(", text)]
        into.mkdir(parents=True, exist_ok=True)
        main, library = into / "main.cpp", into / "kernels.so"
        main.write_text(
            "\n".join([f'#include "{source}"' for source in sources] + [_entry(name) for name in names])
        )
        # Hidden: libraries that are loaded together must not share their static variables.
        options = ["-std=c++17", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-fno-strict-aliasing"]
        options += ["-include", "device.h"]
        folders = [f"-I{SHIM}", f"-I{kernels}"]
        command = [
            compiler() or "c++",
            *options,
            *folders,
            f"-DDTYPE_{self.dtype}",
            str(main),
            "-o",
            str(library),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return library

    def run(self, launch: Launch, buffers: Iterable[Buffer]) -> None:
        """Launch a kernel on buffers that hold the dtype's bits, inputs first."""
        arguments: list[Any] = [ctypes.c_void_p(buffer.ctypes.data) for buffer in buffers]
        arguments += [
            ctypes.c_float(x) if isinstance(x, float) else ctypes.c_longlong(x) for x in launch.scalars
        ]
        pointers = (ctypes.c_void_p * len(arguments))(*(ctypes.addressof(argument) for argument in arguments))
        dims = ctypes.c_uint * 3
        entry = self._library[f"run_{launch.name}"]
        entry.restype = ctypes.c_char_p
        error = entry(pointers, dims(*launch.grid), dims(*launch.block))
        if error:
            raise WrongKernelError(f"{launch.name}: {error.decode()}")


def _entry(name: str) -> str:
    return (
        f'extern "C" __attribute__((visibility("default"))) const char *run_{name}(void **arguments, const unsigned'
        f" *grid, const unsigned *block) {{ return shim::launch({name}, arguments, grid, block); }}"
    )


def encoded(values: Array, dtype: str) -> Buffer:
    """Return the bits of values that the dtype holds exactly."""
    if dtype == "bfloat16":
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    return values.astype(dtype).view(_NAN[dtype][0])


def decoded(bits: Buffer, dtype: str) -> Array:
    """Return the values of the dtype's bits."""
    if dtype == "bfloat16":
        return (bits.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
    return bits.view(dtype).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A buffer in the middle of memory that is nobody's.

    Around an input it is NaN, so that a number read from there shows in the answer; around an output it is not,
    so that NaN written there shows too.
    """

    whole: Buffer
    inside: Buffer

    @classmethod
    def of(cls, size: int, dtype: str, *, offset: int = 0, output: bool = False) -> Guarded:
        """Return a buffer full of NaN that begins `offset` elements after a multiple of 16 bytes."""
        bits, nan = _NAN[dtype]
        item = np.dtype(bits).itemsize
        raw = np.empty(size + (2 * GUARD + ALIGNMENT) // item + offset, bits)
        raw.fill(MARK if output else nan)
        first = GUARD // item + (-raw.ctypes.data % ALIGNMENT) // item + offset
        raw[first : first + size] = nan
        return cls(raw, raw[first : first + size])

    def broken(self) -> bool:
        """Return whether anything was written around the buffer."""
        before = self.inside.copy()
        self.inside.fill(self.whole[0])
        touched = bool((self.whole != self.whole[0]).any())
        self.inside[:] = before
        return touched


def check(library: Library, problem: Problem, launch: Launch, *, offset: int = 0) -> None:
    """Run the kernel, guarded, and compare with the float64 reference. Raises WrongKernelError."""
    op, direction, dtype = problem.op, problem.direction, problem.dtype
    values = problem.inputs()
    inputs = [Guarded.of(array.size, dtype, offset=offset) for array in values.values()]
    shapes = op.outputs(direction)
    outputs = [Guarded.of(math.prod(shape), dtype, offset=offset, output=True) for shape in shapes.values()]
    buffers = [guarded.inside for guarded in (*inputs, *outputs)]
    library.run(
        launch, buffers
    )  # the inputs are NaN: what this leaves in shared memory must not be used again
    for guarded, array in zip(inputs, values.values(), strict=True):
        guarded.inside[:] = encoded(array, dtype).ravel()
    for guarded in outputs:
        guarded.inside.fill(_NAN[dtype][1])
    library.run(launch, buffers)

    for guarded, (name, array) in zip(inputs, values.items(), strict=True):
        if guarded.broken() or (guarded.inside != encoded(array, dtype).ravel()).any():
            raise WrongKernelError(f"{launch.name} wrote to its input {name}, or beside it")
    reference = op.reference(direction, values)
    for guarded, (name, shape) in zip(outputs, shapes.items(), strict=True):
        if guarded.broken():
            raise WrongKernelError(f"{launch.name} wrote beside its output {name}")
        _compare(launch.name, problem, decoded(guarded.inside, dtype).reshape(shape), reference[name])


def _compare(kernel: str, problem: Problem, found: Array, expected: Array) -> None:
    if not np.isfinite(found).all():
        raise WrongKernelError(f"{kernel} left NaN: an element not written, or a number read beside an input")
    scale = float(np.sqrt(np.mean(np.square(expected)))) or 1.0
    error = float(np.abs(found - expected).max()) / scale
    if error > tolerance(problem):
        raise WrongKernelError(
            f"{kernel} of {problem.label}: relative error {error:.2g}, over {tolerance(problem):.2g}"
        )
