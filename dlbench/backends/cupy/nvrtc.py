"""Compile the kernels for any GPU without one, and say what the assembler made of them.

NVRTC (the NVIDIA runtime compiler) comes with cupy; the headers of the 16-bit formats come with CUDA's runtime.
"""

from __future__ import annotations

import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cupy.cuda import nvrtc

from dlbench.backends.cupy.launches import KERNELS
from dlbench.errors import BackendMissingError, DlbenchError

STANDARD = "--std=c++17"
_USAGE = re.compile(
    r"Compiling entry function '(?P<kernel>\w+)'.*?"
    r"(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads.*?"
    r"Used (?P<registers>\d+) registers(?P<rest>[^\n]*)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What one kernel takes on one architecture, as the assembler ptxas reports it.

    `registers` of a thread; `shared` bytes of a block; `stack` bytes of local memory, which is slow, of a thread;
    `spilled` bytes of registers that are stored there or loaded from there.
    """

    kernel: str
    registers: int
    shared: int
    stack: int
    spilled: int


@dataclass(frozen=True, slots=True)
class Compiled:
    """One source, compiled for one dtype and one architecture.

    `cubin` is the machine code; `ptx` what it was assembled from; `log` the compiler's warnings; `usage` a row a
    kernel.
    """

    cubin: bytes
    ptx: str
    log: str
    usage: tuple[Usage, ...]


def architectures() -> tuple[int, ...]:
    """Return the compute capabilities that this NVRTC compiles for, as 75 for 7.5."""
    return tuple(int(arch) for arch in nvrtc.getSupportedArchs())


def version() -> str:
    """Return the version of NVRTC."""
    major, minor = nvrtc.getVersion()
    return f"{major}.{minor}"


def include_path() -> Path:
    """Return the folder of CUDA's headers: that of the wheel nvidia-cuda-runtime, else of an installed toolkit.

    Raises BackendMissingError where there is neither.
    """
    major, _ = nvrtc.getVersion()
    spec = importlib.util.find_spec("nvidia")
    wheels = [Path(place) for place in (spec.submodule_search_locations or [])] if spec else []
    wheel = f"cu{major}" if major >= 13 else "cuda_runtime"  # the wheels' layout changed with CUDA 13
    toolkits = [Path(os.environ["CUDA_PATH"])] if "CUDA_PATH" in os.environ else []
    for folder in (*(place / wheel for place in wheels), *toolkits, Path("/usr/local/cuda")):
        if (folder / "include" / "cuda_fp16.h").exists():
            return folder / "include"
    package = "nvidia-cuda-runtime" if major >= 13 else f"nvidia-cuda-runtime-cu{major}"
    raise BackendMissingError(f"CUDA's header cuda_fp16.h was not found; pip install {package}")


def options(defines: tuple[str, ...], kernels: Path = KERNELS) -> tuple[str, ...]:
    """Return the options with which a source is compiled, but for the architecture."""
    return (STANDARD, f"-I{kernels}", f"-I{include_path()}", *defines)


def compiled(
    source: str, defines: tuple[str, ...], arch: int, *, strict: bool = False, kernels: Path = KERNELS
) -> Compiled:
    """Compile a source of the folder for a compute capability, 75 for 7.5; `strict` makes warnings errors.

    Raises DlbenchError with the compiler's log when it does not compile.
    """
    program = nvrtc.createProgram((kernels / source).read_text(encoding="utf-8"), source, (), ())
    flags = (f"-arch=sm_{arch}", "--ptxas-options=-v", *options(defines, kernels))
    try:
        nvrtc.compileProgram(program, (*flags, "-Werror=all-warnings") if strict else flags)
        report = _text(nvrtc.getProgramLog(program))
        return Compiled(
            cubin=bytes(nvrtc.getCUBIN(program)),
            ptx=_text(nvrtc.getPTX(program)),
            log="".join(
                line for line in report.splitlines(keepends=True) if not line.startswith("ptxas ")
            ).strip(),
            usage=_usage(report),
        )
    except nvrtc.NVRTCError as error:
        log = _text(nvrtc.getProgramLog(program)).strip()
        raise DlbenchError(f"{source} does not compile for sm_{arch}: {error}\n{log}") from None
    finally:
        nvrtc.destroyProgram(program)


def _text(answer: str | bytes) -> str:
    text = answer.decode() if isinstance(answer, bytes) else answer
    return text.replace("\0", "")


def _usage(report: str) -> tuple[Usage, ...]:
    return tuple(_row(match) for match in _USAGE.finditer(report))


def _row(match: re.Match[str]) -> Usage:
    shared = re.search(r"(\d+) bytes smem", match["rest"])
    return Usage(
        kernel=match["kernel"],
        registers=int(match["registers"]),
        shared=int(shared[1]) if shared else 0,
        stack=int(match["stack"]),
        spilled=int(match["stores"]) + int(match["loads"]),
    )
