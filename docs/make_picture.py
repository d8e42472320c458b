"""Draw a stored run's table as a picture: `python docs/make_picture.py RUN docs/table.svg`."""

from __future__ import annotations

import sys
from io import StringIO

from rich.console import Console

import dlbench
from dlbench.report.console import print_table

WIDTH = 100


def main(reference: str, path: str) -> None:
    """Write the run's table as SVG."""
    run = dlbench.load(reference)
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True)
    print_table(console, run.record, run.frame())
    console.save_svg(path, title=f"dlbench show {run.record.name}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
