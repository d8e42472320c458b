"""How a benchmark's time grows, in two lines below the table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from dlbench.analysis.complexity import Complexity
from dlbench.report.cells import printable
from dlbench.statistics.fits import Fit, Growth
from dlbench.units import format_duration


def print_complexities(console: Console, found: Sequence[Complexity]) -> None:
    """Print each benchmark's growth: the law that fits best, those that are level with it, and the exponent."""
    for one in found:
        console.print()
        setting = f" · {one.setting}" if one.setting else ""
        title = Text(f"Growth of {printable(one.name)} with {printable(one.argument)}", style="bold cyan")
        _print(console, title.append(printable(f" · {one.implementation}{setting}"), style="not bold dim"))
        for line in lines(one):
            _print(console, Text(f"  {line}"))


def lines(one: Complexity) -> list[str]:
    """Return what is known of a growth, as lines."""
    if one.growth is None or one.exponent is None:
        return [one.reason]
    exponent = one.exponent
    return [
        f"{_law(one.growth.best, one.argument)}: {_judgement(one.growth, one.argument)}",
        f"as a power of {one.argument}: exponent {exponent.exponent:.2f} [{exponent.low:.2f}, {exponent.high:.2f}]",
    ]


def _law(fit: Fit, argument: str) -> str:
    """Return "time ≈ 4.32 ns · n log n"."""
    time = f"time ≈ {format_duration(fit.coefficient)}"
    return time if fit.law == "1" else f"{time} · {_in(fit.law, argument)}"


def _judgement(growth: Growth, argument: str) -> str:
    error = f"{growth.best.error:.1%} RMS error"
    others = growth.level[1:]
    if others:
        told = " and ".join(_in(law, argument) for law in others)
        return f"the best fit, {error}, not told apart from {told}"
    second = growth.fits[1]
    return f"the best fit, {error}; next is {_in(second.law, argument)} with {second.error:.1%}"


def _in(law: str, argument: str) -> str:
    """Return the law with the argument's own name: "k log k"."""
    return "a constant" if law == "1" else " ".join(_word(word, argument) for word in law.split())


def _word(word: str, argument: str) -> str:
    return word if word == "log" else argument + word.removeprefix("n")


def _print(console: Console, text: Text) -> None:
    console.print(text, highlight=False)
