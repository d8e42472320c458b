"""Print how times grow, below the table."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.text import Text

from dlbench.analysis.scaling import Scaling
from dlbench.report.cells import printable
from dlbench.statistics.fits import FEWEST
from dlbench.units import format_count


def print_scalings(console: Console, scalings: Sequence[Scaling]) -> None:
    """Print each variant's exponent with its 95 % interval and the sizes that it was fitted over."""
    for (op, x, facts), found in groupby(scalings, key=lambda one: (one.op, one.x, one.facts)):
        title = Text(f"\nTime of {printable(op)} as a power of {printable(x)}", style="bold cyan")
        about = "".join(f" · {printable(fact)}" for fact in facts)
        console.print(title.append(about, style="not bold dim"), highlight=False)
        some = list(found)
        width = max(len(one.implementation) for one in some)
        for one in some:
            console.print(_line(one, width), highlight=False)


def _line(one: Scaling, width: int) -> Text:
    name = f"  {printable(one.implementation):<{width}}  "
    if one.law is None:
        few = f"no exponent: {len(set(one.sizes))} sizes have a time, a fit takes {FEWEST}"
        return Text(name + few, style="dim")
    exponent, low, high = one.law
    interval = f"{exponent:.2f} ({low:.2f} to {high:.2f})"
    over = f"{format_count(round(one.sizes[0]))} to {format_count(round(one.sizes[-1]))} {one.x}"
    return Text(f"{name}{interval}, over {over}")
