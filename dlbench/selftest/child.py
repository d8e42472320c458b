"""The process of one backend's self-test: `python -m dlbench.selftest.child BACKEND DEVICE [EFFORT [SECONDS]]`.

It writes a line of JSON before and after each check, so that whoever reads them can name the check that hangs:
`{"checks": [...]}`, `{"model": ...}`, `{"begin": check}`, `{"at": what}`, `{"end": check, "state", "detail", "advice"}`, and
instead of all of them `{"absent": state, "detail", "advice"}` where the backend cannot compute on the device.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

from dlbench.backends.backend import Backend
from dlbench.backends.catalogue import backends
from dlbench.devices.cpu import usable_cores
from dlbench.errors import BackendMissingError, UnsupportedError
from dlbench.runner.reasons import first_line
from dlbench.selftest.measures import FULL, QUICK, Subject, checks_of, judged, model_of

EFFORTS = {"full": FULL, "quick": QUICK}
GRACE = 10
"""Seconds after its time at which this process ends by itself, should its parent be gone."""
Tell = Callable[..., None]


def main(name: str, device: str, effort: str = "full", seconds: str = "120") -> None:
    """Make the checks of one backend on one device."""
    signal.alarm(math.ceil(float(seconds)) + GRACE)
    tell = _teller(_own_stdout())
    try:
        backend = _backend(name, device)
    except BackendMissingError as error:
        install = backends()[name].install
        tell(absent="skipped", detail=f"{str(error).removesuffix(f'; {install}')}", advice=install)
    except UnsupportedError as error:
        tell(absent="failed" if _is_meant(name, device) else "skipped", detail=str(error), advice="")
    except Exception as error:
        tell(absent="failed", detail=f"cannot start: {type(error).__name__}: {first_line(error)}", advice="")
    else:
        examine(backend, effort, tell)


def examine(backend: Backend, effort: str, tell: Tell) -> None:
    """Make all checks; a device that is lost ends them."""
    subject = Subject(backend, EFFORTS[effort], at=lambda what: tell(at=what))
    made = checks_of(backend)
    tell(checks=list(made))
    tell(model=model_of(subject)[0])
    for name, check in made.items():
        tell(begin=name)
        found, lost = judged(check, subject)
        tell(end=name, **found._asdict())
        if lost:
            return


def _backend(name: str, device: str) -> Backend:
    factory = backends()[name].load()
    if device not in factory.devices():
        raise UnsupportedError(factory.why_not(device))
    return factory(device, usable_cores())


def _is_meant(name: str, device: str) -> bool:
    """Whether the backend should compute on the device: it is a CUDA device, and the backend says of GPUs why it cannot."""
    return device.startswith("cuda") and "why_not" in vars(backends()[name].load())


def _own_stdout() -> TextIO:
    """Return the standard output, and let whatever a framework prints there go to the errors."""
    sys.stdout.flush()
    ours = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return ours


def _teller(stream: TextIO) -> Tell:
    def tell(**line: Any) -> None:
        stream.write(json.dumps(line) + "\n")
        stream.flush()

    return tell


if __name__ == "__main__":
    main(*sys.argv[1:])
