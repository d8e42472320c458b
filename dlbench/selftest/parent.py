"""Start one process for each backend, follow its checks, and end it when its time is over."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import IO, Any

from dlbench.backends.catalogue import backends
from dlbench.devices.cpu import usable_cores
from dlbench.results.finding import Finding, Report, State
from dlbench.runner.worker import worker_environment

Observer = Callable[[str, str], None]
"""Is told the backend and the check that begins."""
ON_PROCESSORS = frozenset({"numba", "numpy"})
"""Backends that never compute on an accelerator; there they are not spoken of."""
LAST = "cupy"
"""Compiles its kernels when it is first used, which takes longest, and so has the time that the others leave."""
START = "start"
"""What goes on before the first check: the import of a framework from a cold disk."""
END = "end"
"""What goes on after the last check: the process gives the device back."""
LONGEST_LINE = 300
STOP_GRACE = 5.0
HUNG = (
    "try again on an idle machine; if it hangs there as well, look for the driver's errors in the kernel's log (dmesg), "
    "and report it"
)
DIED = "update the framework and the driver; if that does not help, report it with this message"


def run(
    device: str, seconds: float = 120.0, observer: Observer = lambda *_: None, *, effort: str = "full"
) -> Report:
    """Check every backend on the device, in turn, within so many seconds, and return what was found.

    `effort` is `full`, or `quick` for what shows that the self-test works and nothing of the device. Never raises for what
    a backend does: a crash or a hang is a finding that names the check.
    """
    end = time.monotonic() + seconds
    names = [name for name in backends() if device == "cpu" or name not in ON_PROCESSORS]
    names.sort(key=lambda name: name == LAST)
    findings: list[Finding] = []
    model = ""
    for position, name in enumerate(names):
        left = max(1.0, end - time.monotonic()) / (len(names) - position)
        followed = follow(name, command(name, device, effort, left), left, observer)
        findings += followed.findings
        model = model or followed.model
    return Report(device, model, tuple(findings))


def command(name: str, device: str, effort: str, seconds: float) -> list[str]:
    """Return the command line of a backend's process."""
    return [sys.executable, "-P", "-m", "dlbench.selftest.child", name, device, effort, f"{seconds:.0f}"]


@dataclass
class Followed:
    """What a backend's process has told so far."""

    backend: str
    observer: Observer
    model: str = ""
    findings: list[Finding] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    current: str = START
    at: str = ""
    absent: bool = False

    def hear(self, line: dict[str, Any]) -> None:
        """Take one line of the process."""
        match line:
            case {"checks": checks}:
                self.checks, self.current = list(checks), ""
            case {"model": model}:
                self.model = str(model)
            case {"begin": check}:
                self.current, self.at = str(check), ""
                self.observer(self.backend, self.current)
            case {"at": what}:
                self.at = str(what)
            case {"end": check, "state": state, "detail": detail, "advice": advice}:
                self._add(str(check), state, detail, advice)
                self.current = self.at = ""
            case {"absent": state, "detail": detail, "advice": advice}:
                self.absent = True
                self._add("installed", state, detail, advice)

    def lost(self, why: str, advice: str) -> None:
        """Blame the check that was being made."""
        where = f" at {self.at}" if self.at else ""
        self._add(self.current or (END if self.checks else START), "failed", f"{why}{where}", advice)

    def end(self) -> None:
        """Name the checks that were not made."""
        made = {finding.check for finding in self.findings}
        for check in self.checks:
            if check not in made:
                self._add(check, "skipped", "not reached: the process ended before", "")

    @property
    def complete(self) -> bool:
        """Whether every check was made, or it was said why none could be."""
        made = {finding.check for finding in self.findings}
        return self.absent or (bool(self.checks) and made.issuperset(self.checks))

    @property
    def blamed(self) -> bool:
        """Whether the last check says already why nothing follows: a lost device ends the process after its check."""
        return bool(self.findings) and self.findings[-1].state == "failed" and not self.current

    def _add(self, check: str, state: State, detail: str, advice: str) -> None:
        self.findings.append(Finding(self.backend, check, state, detail, advice))


def follow(name: str, command: Sequence[str], seconds: float, observer: Observer) -> Followed:
    """Start a backend's process and return what it tells; kill it where it takes longer than so many seconds."""
    followed = Followed(name, observer)
    end = time.monotonic() + seconds
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            encoding="utf-8",
            env=worker_environment(usable_cores()),
        )
        late = True
        try:
            late = _listen(process, followed, end)
        finally:
            status = _ended(process, at_once=late)
        if late:
            followed.lost(f"did not end within {seconds:.0f} s and was killed", HUNG)
        elif not followed.complete and not followed.blamed:
            followed.lost(_death(status, errors), DIED)
    followed.end()
    return followed


def _listen(process: subprocess.Popen[str], followed: Followed, end: float) -> bool:
    """Take the lines of the process; return whether its time was over before it closed its output."""
    lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process, lines), daemon=True).start()
    while True:
        try:
            line = lines.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            return True
        if line is None:
            return False
        followed.hear(json.loads(line))


def _read(process: subprocess.Popen[str], lines: queue.SimpleQueue[str | None]) -> None:
    if process.stdout is not None:
        with process.stdout as stream:
            for line in stream:
                lines.put(line)
    lines.put(None)


def _ended(process: subprocess.Popen[str], *, at_once: bool) -> int | None:
    """End the process and return its status; None where even a kill does not end it, as in a driver that hangs."""
    for kill in (at_once, True):
        if kill:
            process.kill()
        try:
            return process.wait(STOP_GRACE)
        except subprocess.TimeoutExpired:
            continue
    return None


def _death(status: int | None, errors: IO[bytes]) -> str:
    errors.seek(0)
    said = [line.strip() for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    last = f": {said[-1][:LONGEST_LINE]}" if said else ""
    return f"the process ended with status {status}{last}"
