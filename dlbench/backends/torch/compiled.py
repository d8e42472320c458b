"""What torch.compile makes of the library's calls."""

from __future__ import annotations

import time
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial, wraps
from typing import Any

import torch

from dlbench.backends.backend import Implementation, Prepare
from dlbench.errors import UnsupportedError
from dlbench.ops.problem import Problem
from dlbench.timing.clock import Call

KEPT = 64
"""Compiled problems that are kept: a problem is prepared again for its peak memory, for each copy that a cold graph goes
over, and by its other layouts, and compiled but once."""
MISSING = {
    "InvalidCxxCompiler": "torch.compile needs a C++ compiler on a CPU; install g++, or name one in CXX",
    "TritonMissing": "torch.compile needs Triton on a GPU; pip install triton (torch's wheels for GPUs bring it)",
    "GPUTooOldForTriton": "torch.compile needs a GPU of compute capability 7.0 or newer",
}
"""By the name of inductor's error, what it lacks."""
MISSING_FILE = {
    "Python.h": "torch.compile needs Python's headers; install python3-dev",
    "Failed to find C compiler": "torch.compile needs a C compiler for what Triton makes; install gcc, or name one in CC",
    "omp.h": "torch.compile needs OpenMP's headers; install libomp-dev",
}
"""By what a compiler says, what it lacks."""


def with_compiled(implementations: tuple[Implementation, ...]) -> tuple[Implementation, ...]:
    """Return the implementations, and after them one as `compiled` of each that is `library` and can be compiled."""
    compiled = (
        replace(one, variant="compiled", prepare=compiling(one.prepare))
        for one in implementations
        if one.variant == "library" and not one.uncompiled
    )
    return (*implementations, *compiled)


def compiling(prepare: Prepare) -> Prepare:
    """Return a `prepare` whose call is the other one's, compiled as one graph for just these shapes.

    It is compiled when it is prepared, in this process, which takes seconds where inductor's cache on disk does not have
    it; the call's details tell how many (`compile_s`). It raises UnsupportedError, with what to install, where there is
    no compiler.
    """

    @wraps(prepare)
    def prepared(problem: Problem, *tensors: torch.Tensor) -> Call:
        call: Any = partial(_compiled(prepare, problem), _traceable(prepare(problem, *tensors)))
        start = time.perf_counter()
        _compile(call)
        call.details = {"compile_s": round(time.perf_counter() - start, 3)}
        return call  # type: ignore[no-any-return]

    return prepared


@lru_cache(maxsize=KEPT)
def _compiled(prepare: Prepare, problem: Problem) -> Callable[[Call], Any]:  # noqa: ARG001 - they tell apart
    """Return torch.compile of the making of a call, in code of its own.

    torch keeps what it has compiled with a function's code, up to eight times for one code, and tries it in turn; with
    code of its own a problem neither meets that limit nor waits for the others.
    """
    code = types.FunctionType(_made.__code__.replace(), _made.__globals__, _made.__name__)
    return torch.compile(code, fullgraph=True, dynamic=False)


def _made(call: Call) -> Any:
    return call()


def _traceable(call: Call) -> Call:
    """Return the same call; a tensor's bound method, which the compiler does not trace, as its class's."""
    tensor = getattr(call.func, "__self__", None) if isinstance(call, partial) else None
    if not isinstance(tensor, torch.Tensor):
        return call
    method = getattr(torch.Tensor, call.func.__name__)  # type: ignore[attr-defined]  # a partial's
    return partial(method, tensor, *call.args, **call.keywords)  # type: ignore[attr-defined]


def _compile(call: Call) -> None:
    """Make the first call, compiling in this process: a pool of compilers would still be there while others are timed."""
    from torch._inductor import config  # takes a second, which other variants need not wait for

    try:
        with warnings.catch_warnings(), config.patch(compile_threads=1):
            warnings.simplefilter("ignore")
            call()
    except Exception as error:
        if lacking := _lacking(error):
            raise UnsupportedError(lacking) from error
        raise


def _lacking(error: BaseException) -> str:
    """Return what to install, the empty string where nothing is missing."""
    for one in _causes(error):
        if type(one).__name__ in MISSING:
            return MISSING[type(one).__name__]
        for said, lacking in MISSING_FILE.items():
            if said in str(one):
                return lacking
    return ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
