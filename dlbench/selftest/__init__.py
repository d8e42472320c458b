"""Prove an installation on one device: every answer, and every stopwatch against another one."""

from dlbench.results.finding import Finding, Report
from dlbench.selftest.parent import Observer, run

__all__ = ["Finding", "Observer", "Report", "run"]
