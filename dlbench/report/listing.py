"""Print plain lists and facts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

Facts = Mapping[str, str] | Sequence[str]


def print_rows(console: Console, rows: Sequence[Mapping[str, str]]) -> None:
    """Print rows that share their columns; columns that are empty everywhere are left out."""
    if not rows:
        console.print("none")
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    columns = [name for name in rows[0] if any(row[name] for row in rows)]
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name == columns[0])
    for row in rows:
        table.add_row(*(escape(row[name]) for name in columns))
    console.print(table)


def print_sections(console: Console, sections: Mapping[str, Facts]) -> None:
    """Print named groups of facts, a line each."""
    for title, facts in sections.items():
        console.print(f"[bold]{escape(title)}[/]")
        lines = [f"{name}: {fact}" for name, fact in facts.items()] if isinstance(facts, Mapping) else facts
        for line in lines:
            console.print(f"  {line}", markup=False, highlight=False, soft_wrap=True)


def print_plan(
    console: Console, summary: Mapping[str, Mapping[str, str]], rows: Sequence[Mapping[str, str]], more: int
) -> None:
    """Print what a run would do: facts, the first cases, and how many more there are."""
    print_sections(console, summary)
    print_rows(console, rows)
    if more > 0:
        console.print(f"… and {more:,} more", highlight=False)
