"""What each CUDA kernel takes of a GPU, as the assembler reports it: registers, shared memory, spills. No GPU needed.

`python benchmarks/kernels.py [ARCH ...]` for compute capabilities such as 75 or 90; without them, all in use today.
"""

from __future__ import annotations

import sys

from dlbench.backends.cupy import nvrtc
from dlbench.backends.cupy.launches import DTYPES, KERNELS

ARCHITECTURES = (75, 80, 86, 89, 90, 100, 120)
HEAD = ("kernel", "dtype", "arch", "registers", "shared B", "stack B", "spilled B")


def rows(arch: int) -> list[tuple[str | int, ...]]:
    """Return a row for each kernel and dtype."""
    return [
        (use.kernel, dtype, f"sm_{arch}", use.registers, use.shared, use.stack, use.spilled)
        for source in sorted(path.name for path in KERNELS.glob("*.cu"))
        for dtype in DTYPES
        for use in nvrtc.compiled(source, (f"-DDTYPE_{dtype}",), arch).usage
    ]


def show(row: tuple[str | int, ...]) -> None:
    kernel, dtype, arch, *figures = row
    print(f"{kernel:30}{dtype:10}{arch:8}" + "".join(f"{figure:>11}" for figure in figures))


def main() -> int:
    """Print the table; return 1 when a kernel spills registers."""
    known = nvrtc.architectures()
    wanted = [int(argument) for argument in sys.argv[1:]] or [arch for arch in ARCHITECTURES if arch in known]
    print(f"NVRTC {nvrtc.version()}")
    show(HEAD)
    spilled = 0
    for arch in wanted:
        for row in rows(arch):
            show(row)
            spilled += int(row[-1])
    return int(spilled > 0)


if __name__ == "__main__":
    sys.exit(main())
