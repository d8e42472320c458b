"""dlbench: a benchmark suite for deep-learning operators whose numbers repeat.

The names below are the public API. They are imported when first used, so that `import dlbench` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlbench.api import Run, compare, load, run
    from dlbench.backends.backend import Backend, BackendSpec, implements
    from dlbench.backends.python.benchmark import benchmark
    from dlbench.backends.python.state import State
    from dlbench.errors import DlbenchError, UserError
    from dlbench.ops.op import Op
    from dlbench.ops.problem import Problem
    from dlbench.plan.config import Config, load_config
    from dlbench.runner.measure import Timing, measure

__version__ = "0.1.0"

_HOMES = {
    "Backend": "dlbench.backends.backend",
    "BackendSpec": "dlbench.backends.backend",
    "Config": "dlbench.plan.config",
    "DlbenchError": "dlbench.errors",
    "Op": "dlbench.ops.op",
    "Problem": "dlbench.ops.problem",
    "Run": "dlbench.api",
    "State": "dlbench.backends.python.state",
    "Timing": "dlbench.runner.measure",
    "UserError": "dlbench.errors",
    "benchmark": "dlbench.backends.python.benchmark",
    "compare": "dlbench.api",
    "implements": "dlbench.backends.backend",
    "load": "dlbench.api",
    "load_config": "dlbench.plan.config",
    "measure": "dlbench.runner.measure",
    "run": "dlbench.api",
}

__all__ = [
    "Backend",
    "BackendSpec",
    "Config",
    "DlbenchError",
    "Op",
    "Problem",
    "Run",
    "State",
    "Timing",
    "UserError",
    "benchmark",
    "compare",
    "implements",
    "load",
    "load_config",
    "measure",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module `dlbench` has no attribute `{name}`")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted([*__all__, "__version__"])
