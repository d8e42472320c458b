"""The main module of a worker process: `python -m dlbench.runner.serve PIPE PARENT`."""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import warnings
from multiprocessing.connection import Connection

from dlbench.backends.backend import Backend, collect
from dlbench.backends.catalogue import backends
from dlbench.errors import FileError, UnsupportedError
from dlbench.ops.function import PYTHON
from dlbench.plugins import PluginWarning
from dlbench.runner.bench import Bench
from dlbench.runner.files import described_files, load_files
from dlbench.runner.functions import FunctionBench
from dlbench.runner.memory import limit_to_available, volunteer_for_the_killer
from dlbench.runner.printed import Printed
from dlbench.runner.protocol import Assignment, Failed, Ready, Reply, Request, Stop
from dlbench.runner.reasons import first_line
from dlbench.runner.serving import Serving

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def main(descriptor: int, parent: int) -> None:
    """Serve requests from the pipe until Stop or until the parent is gone."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C reaches the whole group; the parent decides what ends
    warnings.simplefilter("ignore", PluginWarning)  # the run itself has warned
    _die_with(parent)
    volunteer_for_the_killer()
    pipe: Connection[Reply, Assignment | Request] = Connection(descriptor)
    try:
        assignment = pipe.recv()
        if not isinstance(assignment, Assignment):
            raise TypeError(f"not an assignment: {assignment!r}")
        bench = _start(assignment, pipe)
        while bench is not None and not isinstance(request := pipe.recv(), Stop | Assignment):
            reply = bench.serve(request)
            pipe.send(reply)
            if isinstance(reply, Failed) and reply.lost:
                return  # a poisoned context fails whatever comes next
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return


def _start(assignment: Assignment, pipe: Connection[Reply, Assignment | Request]) -> Serving | None:
    try:
        bench, environment = _functions(assignment) if assignment.backend == PYTHON else _bench(assignment)
    except UnsupportedError as error:
        pipe.send(Failed("unsupported", str(error), lost=True))
        return None
    except FileError as error:
        pipe.send(Failed("failed", str(error), lost=True))
        return None
    except Exception as error:
        reason = f"{assignment.backend} cannot start: {type(error).__name__}: {first_line(error)}"
        pipe.send(Failed("failed", reason, lost=True))
        return None
    if assignment.device == "cpu":
        limit_to_available()
    _set_aside_what_was_imported()
    pipe.send(Ready(environment))
    return bench


def _bench(assignment: Assignment) -> tuple[Serving, dict[str, str]]:
    """Return the bench of a backend, whose implementations are those of the user's files where there are any."""
    backend = _backend(assignment)
    environment = backend.environment()
    if not assignment.files:
        return Bench(backend, assignment), environment
    printed = Printed()
    own = [one for one in collect(*load_files(assignment.files)) if one.backend == assignment.backend]
    printed()  # what they print while they are imported is no case's
    return Bench(backend, assignment, own=own, printed=printed), environment


def _functions(assignment: Assignment) -> tuple[Serving, dict[str, str]]:
    """Return the bench of the user's benchmarks."""
    printed = Printed()
    benchmarks, files = described_files(assignment.files)
    printed()
    return FunctionBench(assignment, benchmarks, files, printed=printed), {}


def _set_aside_what_was_imported() -> None:
    """Keep the framework's own objects out of later collections: with torch each one takes 70 ms otherwise."""
    gc.collect()
    gc.freeze()


def _backend(assignment: Assignment) -> Backend:
    factory = backends()[assignment.backend].load()
    if assignment.device not in factory.devices():
        raise UnsupportedError(factory.why_not(assignment.device))
    return factory(assignment.device, assignment.threads)


def _die_with(parent: int) -> None:
    """End this process when its parent ends, even by kill -9, so that no orphan burns the processor."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            sys.exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
