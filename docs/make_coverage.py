"""Write which backend computes which op into the manual: `python docs/make_coverage.py docs/coverage.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from dlbench.coverage import coverage, markdown

BUILT_IN = ("cupy", "numba", "numpy", "torch")
HEAD = """# Which backend computes what

Each op in each direction, and the variants that compute it; an empty cell is an `unsupported` row of a table. Made from the
code by `python docs/make_coverage.py docs/coverage.md`; `dlbench list ops --coverage` prints the same for what is installed.

"""


def text() -> str:
    """Return the page."""
    return HEAD + markdown(coverage(BUILT_IN))


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(text(), encoding="utf-8")
