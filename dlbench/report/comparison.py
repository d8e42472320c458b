"""A comparison on the screen: what makes it unfair, the rows that matter, and what they come to."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from rich.console import Console
from rich.text import Text

from dlbench.analysis.comparison import Comparison, Mean
from dlbench.analysis.ratios import NOTED
from dlbench.analysis.sides import Side, devices_of, hostname
from dlbench.analysis.verdicts import MORE_ROUNDS, WAS, percent
from dlbench.report.cells import Field, Row, printable, spread
from dlbench.report.footer import repeated_reasons
from dlbench.results.compared import COMPARED
from dlbench.results.formats.rows import rows
from dlbench.units import format_count, format_duration, significant

MOST_ROWS = 60
"""Rows that are printed: those that matter come first, and a file holds them all."""
MOST_MISSING = 20
MOST_RUNS = 3
MOST_SPREAD = 100
"""An interval whose ends are so many times apart, as two rounds may give, tells nothing."""
LEAST_CASE = 24
"""Characters that a case's name gets however narrow the terminal is."""
MARKS = {"slower": "▼", "faster": "▲", "same": "≈", "inconclusive": "?"}
FAILED = "✗"
DOUBTFUL = "~"
"""Before a time that was measured, but noisily."""
STYLES = {"slower": "red", "faster": "green", "same": "dim", "inconclusive": "yellow"}
_FACTS = ("dtype", "direction", "cache", "data", "implementation", "layout", "flags", "device")
"""What is told of a case beside its name: above the table where all rows share it."""


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Print a comparison: its sides, what else they differ in, the table, means, one-sided rows and a footer."""
    for line in _sides(comparison):
        _print(console, line)
    _print_warnings(console, comparison)
    shown = _shown(comparison)
    table = rows(comparison.frame[:shown], COMPARED)
    console.print()
    _print_table(console, comparison, table)
    _print(console, _rest(comparison.frame, shown), "dim")
    console.print()
    for mean in comparison.means:
        _print(console, _mean(comparison, mean), "bold")
    _print_missing(console, comparison)
    for line in (_counts(comparison.frame), _floor(comparison), _legend(comparison)):
        _print(console, line, "dim")


def _sides(comparison: Comparison) -> list[str]:
    if not comparison.by:
        return [f"{side.label}  {_run(side)}" for side in comparison.sides]
    ids = list(dict.fromkeys(run.id for side in comparison.sides for run in side.runs))
    more = f" and {len(ids) - MOST_RUNS} more" if len(ids) > MOST_RUNS else ""
    lines = [f"by {comparison.by}, in {', '.join(ids[:MOST_RUNS])}{more}"]
    named = [f"{side.label}  {side.name}" for side in comparison.sides if side.label != side.name]
    return lines + named


def _run(side: Side) -> str:
    run = side.runs[0]
    models = [str(device.get("model") or "") for device in devices_of(run)]
    name = side.name if side.name == run.id else f"{side.name} ({run.id})"
    started = run.started[:16].replace("T", " ")
    return " · ".join(filter(None, (name, started, hostname(run), *models)))


def _print_warnings(console: Console, comparison: Comparison) -> None:
    for (base, other), lines in comparison.differences.items():
        labels = f"{comparison.label(base)} and {comparison.label(other)}"
        _print(console, f"\n{labels} differ in more than what is compared:", "bold yellow")
        for line in lines:
            _print(console, f"  {line}", "yellow")
    if comparison.notes:
        console.print()
    for note in comparison.notes:
        _print(console, note, "yellow")


def _shown(comparison: Comparison) -> int:
    """Return how many rows are printed: all of few; of many those that say something, up to MOST_ROWS."""
    frame = comparison.frame
    if len(frame) <= MOST_ROWS:
        return len(frame)
    telling = (frame["verdict"] != "same") & (frame["base_us"].notna() | frame["other_us"].notna())
    return min(MOST_ROWS, int(telling.sum()))


def _print_table(console: Console, comparison: Comparison, table: Sequence[Row]) -> None:
    if not table:
        return
    titles, shared = _names(comparison, table)
    _print(console, f"{'all rows: ' if len(table) > 1 else ''}{' · '.join(shared)}", "dim")
    columns = [column for field in _fields(comparison) if (column := field.column(table))]
    numbers = ["  ".join(cells[index] for cells in columns).rstrip() for index in range(len(table) + 1)]
    room = max(LEAST_CASE, console.width - 4 - max(map(len, numbers)))
    wrapped = [textwrap.wrap(title, room) or [""] for title in titles]
    width = max(len(part) for parts in wrapped for part in parts)
    table = [{**row, "reason": _reason(comparison, row)} for row in table]
    told_below = repeated_reasons(table)
    console.print(Text(f"  {'':<{width}}  {numbers[0]}", style="dim"), highlight=False)
    for row, parts, cells in zip(table, wrapped, numbers[1:], strict=True):
        line = Text(f"{_mark(row)} {parts[0]:<{width}}  {cells}")
        line.stylize(STYLES[row["verdict"]], end=1)
        line.stylize(STYLES[row["verdict"]], start=len(line) - len(row["verdict"]))
        console.print(line, highlight=False)
        for part in parts[1:]:
            console.print(Text(f"  {part}"), highlight=False)
        if _has_own_reason(row, told_below):
            _print(console, row["reason"], "dim", indent="    ")
    _print_repeated(console, table, told_below)


def _reason(comparison: Comparison, row: Row) -> str:
    """Return the reason without what it says of noise, which the times' marks tell."""
    reason = str(row["reason"])
    for side, verdict in (("base", "base_verdict"), ("other", "other_verdict")):
        if row["ratio"] is not None and row[verdict] in NOTED:
            note = f"{comparison.label(row[side])}{WAS}{row[verdict]}"
            reason = "" if reason.startswith(note) else reason.partition(f"; {note}")[0]
    return reason


def _has_own_reason(row: Row, told_below: Sequence[tuple[str, str]]) -> bool:
    reason = row["reason"]
    return bool(reason) and not reason.endswith(MORE_ROUNDS) and (row["verdict"], reason) not in told_below


def _print_repeated(console: Console, table: Sequence[Row], told_below: Sequence[tuple[str, str]]) -> None:
    counted = Counter((row["verdict"], row["reason"]) for row in table)
    lines = [
        f"{counted[pair]} rows are {pair[0]}: {pair[1]}"
        for pair in told_below
        if not pair[1].endswith(MORE_ROUNDS)
    ]
    if wide := sum(row["reason"].endswith(MORE_ROUNDS) for row in table):
        lines.append(
            f"{_rows(wide)} inconclusive by {'its' if wide == 1 else 'their'} interval: {MORE_ROUNDS}"
        )
    for line in lines:
        _print(console, line, "dim")


def _names(comparison: Comparison, table: Sequence[Row]) -> tuple[list[str], list[str]]:
    """Return what each row is called, and the facts that all rows share."""
    facts = [_facts(comparison, row) for row in table]
    varying = [name for name in _FACTS if len({told[name] for told in facts}) > 1]
    shared = [
        facts[0][name]
        for name in _FACTS
        if name not in varying and name != "layout" and facts[0][name]  # all have the usual one
    ]
    titles = _titles(table)
    names = [
        " · ".join(filter(None, (title, *(told[name] for name in varying))))
        for title, told in zip(titles, facts, strict=True)
    ]
    return [printable(name) for name in names], shared


def _facts(comparison: Comparison, row: Row) -> dict[str, str]:
    """Return a row's facts; empty where the column's headings tell them, or what is usual."""
    by = comparison.by
    implementation = {"variant": "", "backend": row["variant"]}.get(by, f"{row['backend']}:{row['variant']}")
    told = {
        "dtype": row["dtype"],
        "direction": row["direction"],
        "cache": row["cache"],
        "data": "" if row["data"] == "normal" else f"{row['data']} data",
        "implementation": implementation,
        "layout": row["layout"],
        "flags": row["flags"],
        "device": row["device"],
    }
    return told | ({by: ""} if by in told else {})


def _titles(table: Sequence[Row]) -> list[str]:
    """Return each row's layer, or its problem where it has none; both where one layer has several problems."""
    several = len({row["suite"] for row in table}) > 1
    problems: dict[tuple[str, str], set[str]] = {}
    for row in table:
        problems.setdefault((row["suite"], row["layer"]), set()).add(row["problem"])
    titles = []
    for row in table:
        layer = f"{row['suite']}/{row['layer']}" if several and row["suite"] else row["layer"]
        ambiguous = len(problems[row["suite"], row["layer"]]) > 1
        titles.append(
            " ".join([layer, row["problem"]] if ambiguous else [layer]) if row["layer"] else row["problem"]
        )
    return titles


def _fields(comparison: Comparison) -> Iterator[Field]:
    base, *others = (printable(side.label) for side in comparison.sides)
    if len(others) > 1:
        yield Field("other", lambda row: printable(comparison.label(row["other"])), left=True)
    yield Field(base, lambda row: _time(row, "base"))
    yield Field(others[0] if len(others) == 1 else "its time", lambda row: _time(row, "other"))
    yield Field("ratio", _ratio, spread=lambda row: spread(row["ratio_low"], row["ratio_high"]))
    yield Field("verdict", lambda row: str(row["verdict"]), left=True)


def _time(row: Row, side: str) -> str:
    if row[f"{side}_us"] is None:
        return ""
    doubtful = DOUBTFUL if row[f"{side}_verdict"] in NOTED else ""
    return doubtful + format_duration(row[f"{side}_us"] * 1e-6)


def _ratio(row: Row) -> str:
    return "" if row["ratio"] is None else f"{significant(row['ratio'])}×"


def _mark(row: Row) -> str:
    return MARKS[row["verdict"]] if row["ratio"] is not None else FAILED


def _rest(frame: pd.DataFrame, shown: int) -> str:
    rest = frame[shown:]
    if rest.empty:
        return ""
    counts = rest["verdict"].value_counts()
    if set(counts.index) == {"same"}:
        return f"{_rows(len(rest))} the same"
    told = ", ".join(f"{format_count(count)} {verdict}" for verdict, count in counts.items())
    return f"… and {format_count(len(rest))} more ({told}); -o FILE writes them all"


def _mean(comparison: Comparison, mean: Mean) -> str:
    base, other = comparison.sides[0].label, comparison.label(mean.other)
    figures = (mean.ratio, mean.low, mean.high)
    how = f"{other} is {{}} times as fast as {base}"
    if mean.ratio < 1:
        figures = (1 / mean.ratio, 1 / mean.high, 1 / mean.low)
        how = f"{other} takes {{}} times as long as {base}"
    value, low, high = (f"{figure:.3f}" if figure < 10 else significant(figure) for figure in figures)
    known = mean.high < MOST_SPREAD * mean.low
    interval = f"[{low}, {high}]" if known else "(too few rounds for an interval)"
    return f"{how.format(value)} {interval}: geometric mean of {_rows(mean.rows)}"


def _print_missing(console: Console, comparison: Comparison) -> None:
    left = MOST_MISSING
    missing = comparison.missing
    for side, not_in in missing[["side", "not_in"]].drop_duplicates().itertuples(index=False):
        cases = missing[(missing["side"] == side) & (missing["not_in"] == not_in)]
        labels = comparison.label(side), comparison.label(not_in)
        _print(console, f"{_rows(len(cases))} in {labels[0]} only, not in {labels[1]}:")
        for case in cases[:left].to_dict("records"):
            _print(console, _described(case), "dim", indent="  ")
        if len(cases) > left:
            _print(console, f"… and {format_count(len(cases) - left)} more", "dim", indent="  ")
        left = max(0, left - len(cases))


def _described(case: Mapping[Hashable, Any]) -> str:
    facts = [str(case[name]) for name in ("layer", "problem", "dtype", "direction", "cache")]
    return " · ".join(filter(None, (*facts, f"{case['backend']}:{case['variant']}", str(case["device"]))))


def _counts(frame: pd.DataFrame) -> str:
    counts = frame["verdict"].value_counts()
    told = ", ".join(f"{format_count(int(counts[name]))} {name}" for name in MARKS if name in counts)
    return f"{_rows(len(frame))}: {told}"


def _floor(comparison: Comparison) -> str:
    floors = comparison.frame["floor"].dropna()
    if floors.empty:
        return ""
    low, high = (percent(float(end)) for end in (floors.min(), floors.max()))
    value = low if low == high else f"{low} to {high}"
    count = comparison.floors.comparisons(interleaved=comparison.paired)
    if count:
        return f"noise floor {value}, from {format_count(count)} A/A comparisons on this machine"
    return f"noise floor {value}, the default: `dlbench aa CONFIG` measures this machine's"


def _legend(comparison: Comparison) -> str:
    base, *others = (side.label for side in comparison.sides)
    other = others[0] if len(others) == 1 else "the other"
    how = "paired rounds" if comparison.paired else "rounds"
    noted = comparison.frame[["base_verdict", "other_verdict"]].isin(NOTED).to_numpy()
    doubtful = f" · {DOUBTFUL} noisy: `dlbench show RUN` tells why" if noted.any() else ""
    return (
        f"ratio: {base}'s time over {other}'s, above 1 where {other} is faster, ± half its 95 % interval over {how} · "
        "faster or slower: significant among all rows (Benjamini-Hochberg, 5 %) and beyond the noise floor"
        f"{doubtful}"
    )


def _rows(count: int) -> str:
    return f"{format_count(count)} row{'' if count == 1 else 's'}"


def _print(console: Console, line: str, style: str = "", indent: str = "") -> None:
    """Print a line, wrapped to the console's width; nothing for an empty one."""
    if line.startswith("\n"):
        console.print()
        line = line[1:]
    indent += line[: len(line) - len(line.lstrip())]
    width = max(20, console.width - len(indent))
    for part in textwrap.wrap(printable(line.strip()), width, break_long_words=False, break_on_hyphens=False):
        console.print(Text(indent + part, style=style), highlight=False)
