"""A config of a million cases: what `--dry-run` takes, in seconds and in peak memory.

Goal: within 5 s and 200 MB.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CONFIG = """\
variants: [torch:library]
sweeps:
  - op: matmul
    params: {m: {from: 1, to: 1000, step: 1}, n: {from: 1, to: 1000, step: 1}, k: 8}
"""
GOAL_S, GOAL_MB = 5.0, 200.0


def main() -> int:
    """Print both figures; return 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "million.yaml"
        config.write_text(CONFIG)
        start = time.perf_counter()
        command = [sys.executable, "-m", "dlbench", "run", str(config), "--dry-run"]
        printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        seconds = time.perf_counter() - start
    megabytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6
    counted = next(line.strip() for line in printed.splitlines() if "cases:" in line)
    from _machine import name  # imports torch: a child's peak memory begins with its parent's

    print(name())
    print(f"{counted}: {seconds:.2f} s, {megabytes:.0f} MB")
    return int(seconds > GOAL_S or megabytes > GOAL_MB or "1,000,000" not in counted)


if __name__ == "__main__":
    sys.exit(main())
