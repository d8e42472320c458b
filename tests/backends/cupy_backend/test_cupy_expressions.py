"""The expressions that cupy makes kernels of are C++ to cupy's own headers; no GPU is needed to compile them."""

from __future__ import annotations

import importlib
import re
from pathlib import Path
from typing import Any

import pytest
import standin_cudnn
import standin_cupy
from ragged import activation, loss

from dlbench.backends.backend import tensors_of
from dlbench.ops.problem import Problem

cupy: Any = pytest.importorskip("cupy", exc_type=ImportError)
binding: Any = pytest.importorskip("cupy_backends.cuda.libs.nvrtc", exc_type=ImportError)
if not hasattr(cupy, "__file__"):
    pytest.skip("cupy is not installed", allow_module_level=True)

from dlbench.backends.cupy import nvrtc  # noqa: E402 - imports cupy, if there is one

C_TYPES = {
    "float16": "float16",
    "float32": "float",
    "float64": "double",
    "bool": "bool",
    "int64": "long long",
}
OPS = {**activation.RAGGED, **loss.RAGGED}
Expression = tuple[str, str, str, str]
"""Inputs, output, operation and name, as cupy.ElementwiseKernel takes them."""


class Recorder(standin_cupy.ElementwiseKernel):
    seen: set[Expression]

    def __init__(self, inputs: str, outputs: str, operation: str, name: str) -> None:
        super().__init__(inputs, outputs, operation, name)
        self.seen.add((inputs, outputs, operation, name))


def expressions() -> list[Expression]:
    """Return those of every library cell of the ops."""
    Recorder.seen = set()
    modules = {**standin_cupy.make(standin_cupy.Card()), "cudnn": standin_cudnn.Library().module()}
    modules["cupy"].ElementwiseKernel = Recorder  # type: ignore[attr-defined]
    with standin_cupy.in_place_of(modules):
        backend = importlib.import_module("dlbench.backends.cupy.backend").CupyBackend("cuda:0", 1)
        for one in backend.implementations():
            if one.variant == "library" and one.op in OPS:
                for direction in one.directions:
                    for dtype in one.dtypes:
                        problem = Problem(OPS[one.op][0], dtype, direction)
                        one.prepare(problem, *tensors_of(backend, problem, problem.inputs()))
    return sorted(Recorder.seen)


def source(found: list[Expression]) -> str:
    """Return a file with a kernel of each, as cupy writes it: references to the elements, under their names."""
    kernels = []
    for number, (inputs, outputs, operation, name) in enumerate(found):
        taken = [(*one.split(), "const ") for one in inputs.split(", ")]
        both = [*taken, (*outputs.split(), "")]
        parameters = ", ".join(f"{const}{C_TYPES[dtype]} *p_{one}" for dtype, one, const in both)
        elements = " ".join(f"{const}{C_TYPES[dtype]} &{one} = p_{one}[i];" for dtype, one, const in both)
        kernels.append(
            f'extern "C" __global__ void {name}_{number}({parameters}) {{ int i = threadIdx.x; {elements} {operation}; }}'
        )
    headers = ("complex", "carray", "atomics", "float16")  # as cupy includes them
    return "\n".join([f"#include <cupy/{header}.cuh>" for header in headers] + kernels)


def test_every_expression_compiles_in_every_dtype() -> None:
    found = expressions()
    assert {re.findall(r"float\d+", outputs)[0] for _, outputs, _, _ in found if "float" in outputs} == {
        "float16",
        "float32",
        "float64",
    }
    folder = Path(cupy.__file__).parent / "_core" / "include"
    places = [folder, *(folder / "cupy" / "_cccl" / one for one in ("libcudacxx", "thrust", "cub"))]
    options = ["-std=c++17", "-arch=sm_80", *(f"-I{place}" for place in (*places, nvrtc.include_path()))]
    program = binding.createProgram(source(found), "expressions.cu", (), ())
    try:
        binding.compileProgram(program, tuple(options))
    except Exception as error:
        pytest.fail(f"{error}\n{binding.getProgramLog(program)}")
    finally:
        binding.destroyProgram(program)
