"""Print what comparing a machine with itself showed."""

from __future__ import annotations

from rich.console import Console

from dlbench.analysis.aa import SelfComparison
from dlbench.report.listing import print_rows


def print_self_comparison(console: Console, found: SelfComparison) -> None:
    """Print the noise floor for each size of case, how often intervals alone mislead, and how often the whole rule does."""
    print_rows(
        console,
        [
            {
                "pairs": str(row["kind"]),
                "time of a call": str(row["size"]),
                "comparisons": f"{row['comparisons']:,}",
                "noise floor": f"{row['floor']:.1%}",
                "interval excludes 1": _share(row["outside"], row["comparisons"]),
                "called changed": _share(row["changed"], row["comparisons"]),
            }
            for row in found.table.to_dict("records")
        ],
    )
    total = found.table.groupby("kind", sort=False)[["comparisons", "changed"]].sum()
    for kind, row in total.iterrows():
        share = _share(row["changed"], row["comparisons"])
        _say(
            console,
            f"false positives {kind}: {share} of {row['comparisons']:,} comparisons, by the whole rule",
        )
    _say(
        console,
        "in turn: two runs of one session (compare --interleaved); separate: runs of two sessions. The floor of a size is "
        "what 95 % of its comparisons stay within; each pair was judged by the floor of the other pairs.",
    )


def _share(count: int, whole: int) -> str:
    return f"{count / whole:.1%}"


def _say(console: Console, line: str) -> None:
    console.print(line, markup=False, highlight=False)
