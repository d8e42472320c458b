"""The command line: one small function per command, which turns arguments into one call and prints its result.

Nothing heavy is imported until a command needs it: `dlbench --help` must answer at once.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from dlbench.errors import DlbenchError, UserError
from dlbench.plugins import PluginWarning

if TYPE_CHECKING:
    from rich.console import Console

    from dlbench.analysis.comparison import Comparison
    from dlbench.api import Plan, Run
    from dlbench.report.progress import Live, Plain

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
SHOWN_CASES = 20
AA_SESSIONS = 3
"""Sessions of `aa`: three give three interleaved and six separate pairs of each case."""
_MEASURING = ("--only", "--set", "--budget", "--precision", "--python")
"""Options of `compare` that say how to measure."""

app = typer.Typer(
    name="dlbench",
    help="Benchmark deep-learning operators over frameworks and devices, check every answer, and get numbers that repeat.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class Kind(StrEnum):
    """What `list` can list."""

    OPS = "ops"
    BACKENDS = "backends"
    DEVICES = "devices"
    SUITES = "suites"
    CONFIGS = "configs"
    RUNS = "runs"


StoreOption = Annotated[
    str, typer.Option("--store", metavar="URL", help="Database of runs: a path or an SQLAlchemy URL.")
]
OnlyOption = Annotated[
    list[str],
    typer.Option(
        "--only", metavar="PATTERN", help="Keep matching cases: torch:*, layer=conv1, c=64. Repeatable."
    ),
]
SetOption = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change the config: dtype=float64, measure.visit=1s. Repeatable.",
    ),
]
BudgetOption = Annotated[
    str | None, typer.Option(metavar="TIME", help="Stop after so long: 90s, 3m; alone, use it all.")
]
PrecisionOption = Annotated[
    str | None, typer.Option(metavar="SHARE", help="Stop a case at this half width: 1%.")
]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Print nothing but errors.")]
OutputOption = Annotated[
    list[str],
    typer.Option(
        "-o", "--output", metavar="FILE", help="Write the table: .csv, .json, .parquet or .md. Repeatable."
    ),
]


@app.command()
def run(
    config: Annotated[
        str,
        typer.Argument(
            metavar="CONFIG",
            help="A YAML file, the name of a built-in config, or a Python file of your own benchmarks.",
        ),
    ],
    only: OnlyOption = [],  # noqa: B006 - typer copies it
    filter_: Annotated[
        str,
        typer.Option("--filter", metavar="REGEX", help="Keep cases whose name matches: 'sort.*n=64'."),
    ] = "",
    set_: SetOption = [],  # noqa: B006 - typer copies it
    device: Annotated[
        list[str],
        typer.Option(
            "--device", metavar="NAME", help="Measure on this device: cpu, cuda:0, all. Repeatable."
        ),
    ] = [],  # noqa: B006 - typer copies it
    budget: BudgetOption = None,
    precision: PrecisionOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the cases and an estimate; measure nothing.")
    ] = False,
    name: Annotated[
        str, typer.Option(metavar="NAME", help="What to call the run; default: the config's name.")
    ] = "",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the newest unfinished run of that name.")
    ] = False,
    store: StoreOption = "",
    output: OutputOption = [],  # noqa: B006 - typer copies it
    parallel: Annotated[
        bool, typer.Option("--parallel", help="Measure several GPUs at once; one after the other by default.")
    ] = False,
    peaks: Annotated[
        bool, typer.Option(help="Measure this machine's peaks once, where they are not known yet.")
    ] = True,
    yes: Annotated[bool, typer.Option("--yes", help="Measure however many cases there are.")] = False,
    quiet: QuietOption = False,
) -> None:
    """Measure a config, or a file of your own benchmarks, and print the table."""
    from dlbench import api
    from dlbench.results import formats

    formats.check(output)
    overrides = [*set_, *(["measure.parallel=true"] if parallel else [])]
    plan = api.plan(
        config,
        only=only,
        overrides=overrides,
        device=device,
        budget=budget,
        precision=precision,
        filter=filter_,
    )
    if dry_run:
        _print_plan(plan)
        return
    _load_what_prints()
    console = _console(quiet=quiet)
    observer = _observer(console, store)
    resuming = f"dlbench run {config} --resume" + (f" --name {name}" if name else "")
    try:
        done = api.execute(
            plan, name=name, resume=resume, store=store, peaks=peaks, yes=yes, observer=observer
        )
    except KeyboardInterrupt:
        observer.close()
        _errors().print(
            f"\nInterrupted; everything measured so far is kept. Go on with:\n  {resuming}", highlight=False
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None
    finally:
        observer.close()
    done.write(*output)
    _print_run(console, done)
    for path in output:
        console.print(f"wrote {path}", markup=False, highlight=False)


@app.command()
def show(
    reference: Annotated[
        str, typer.Argument(metavar="RUN", help="A run's id or name, `latest`, or an exported file.")
    ] = "latest",
    store: StoreOption = "",
    output: OutputOption = [],  # noqa: B006 - typer copies it
) -> None:
    """Print a run's table, or export it."""
    from dlbench import api

    loaded = api.load(reference, store=store)
    loaded.write(*output)
    if not output:
        _print_run(_console(), loaded)


@app.command()
def compare(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...",
            help="Ids, names or exported files; the first is compared with. With --interleaved: configs.",
        ),
    ],
    by: Annotated[
        str,
        typer.Option(metavar="FIELD", help="Compare within: device, backend, variant, dtype, layout, flags."),
    ] = "",
    fail_on: Annotated[
        str | None,
        typer.Option(
            "--fail-on", metavar="SHARE", help="Exit 1 if a row is slower by more: 5%; 3 if unclear."
        ),
    ] = None,
    interleaved: Annotated[
        bool,
        typer.Option(
            "--interleaved", help="Measure now, in one session: the sides' turns alternate A B, B A."
        ),
    ] = False,
    python: Annotated[
        list[str],
        typer.Option(
            "--python", metavar="PATH", help="Interpreter of a side, with --interleaved. Repeatable."
        ),
    ] = [],  # noqa: B006 - typer copies it
    only: OnlyOption = [],  # noqa: B006 - typer copies it
    set_: SetOption = [],  # noqa: B006 - typer copies it
    budget: BudgetOption = None,
    precision: PrecisionOption = None,
    store: StoreOption = "",
    output: Annotated[
        list[str],
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write the rows: .csv, .json or .md. Repeatable."
        ),
    ] = [],  # noqa: B006 - typer copies it
    quiet: QuietOption = False,
) -> None:
    """Compare runs: a ratio and a verdict for every case that both have."""
    from dlbench import api
    from dlbench.results import formats

    formats.check_comparison(output)
    share = None if fail_on is None else api.share_of(fail_on)
    console = _console(quiet=quiet)
    if interleaved:
        plans = [
            api.plan(config, only=only, overrides=set_, budget=budget, precision=precision) for config in runs
        ]
        runs = _interleaved(console, plans, python, store)
    else:
        _refuse_measuring(only, set_, budget, precision, python)
    comparison = api.compare_runs(runs, by=by, store=store)
    comparison.write(*output)
    _print_comparison(console, comparison, output)
    if share is not None:
        _exit_on_regression(console, comparison, share)


def _refuse_measuring(*values: object) -> None:
    """Raise UserError when an option was given that says how to measure."""
    if given := [name for name, value in zip(_MEASURING, values, strict=True) if value]:
        raise UserError(f"{', '.join(given)}: only with --interleaved, which measures")


@contextmanager
def _keeping_what_is_measured() -> Iterator[None]:
    """Say on Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        _errors().print(
            "\nInterrupted; everything measured so far is kept: `dlbench list runs` shows it.",
            highlight=False,
        )
        raise typer.Exit(EXIT_INTERRUPTED) from None


def _interleaved(console: Console, plans: list[Plan], pythons: list[str], store: str) -> list[str]:
    """Measure the sides and return their runs."""
    from dlbench import sessions
    from dlbench.report.progress import Plain

    observer = Plain(console, lambda _number, _run_id: None)
    with _keeping_what_is_measured():
        return sessions.interleave(sessions.sides_of(plans, pythons), store=store, observer=observer)


def _print_comparison(console: Console, comparison: Comparison, output: list[str]) -> None:
    from dlbench.report.comparison import print_comparison

    print_comparison(console, comparison)
    for path in output:
        console.print(f"wrote {path}", markup=False, highlight=False)


def _exit_on_regression(console: Console, comparison: Comparison, share: float) -> None:
    from dlbench.analysis.regression import FINE, find_regression

    found = find_regression(comparison, share)
    if found.status == FINE:
        console.print(found.line, markup=False, highlight=False)
    else:
        _errors().print(found.line, markup=False, highlight=False)
        raise typer.Exit(found.status)


@app.command()
def aa(
    config: Annotated[
        str, typer.Argument(metavar="CONFIG", help="What to measure against itself; `noise` has every size.")
    ],
    sessions: Annotated[
        int, typer.Option(metavar="N", help="Sessions, each of which measures it twice.")
    ] = AA_SESSIONS,
    only: OnlyOption = [],  # noqa: B006 - typer copies it
    set_: SetOption = [],  # noqa: B006 - typer copies it
    budget: BudgetOption = None,
    precision: PrecisionOption = None,
    store: StoreOption = "",
    quiet: QuietOption = False,
) -> None:
    """Measure a config against itself: this machine's noise floor, which `compare` then uses."""
    from dlbench import api
    from dlbench.report.aa import print_self_comparison
    from dlbench.report.progress import Plain
    from dlbench.sessions import against_itself

    plan = api.plan(config, only=only, overrides=set_, budget=budget, precision=precision)
    console = _console(quiet=quiet)
    observer = Plain(console, lambda _number, _run_id: None)
    with _keeping_what_is_measured():
        runs = against_itself(plan, sessions=sessions, store=store, observer=observer)
    print_self_comparison(console, api.self_comparison(runs, store=store))


@app.command()
def selftest(
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="Where: cuda:0, xpu:0, mps:0, cpu.")
    ] = "cuda:0",
    budget: Annotated[str, typer.Option(metavar="TIME", help="End what takes longer.")] = "2m",
) -> None:
    """Prove that the installation on one device computes rightly and is timed rightly; exit status 1 where it is not."""
    from dlbench import api
    from dlbench import selftest as proof
    from dlbench.report.selftest import print_report

    seconds = api.seconds_of(budget)
    errors = _errors()

    def beginning(backend: str, check: str) -> None:
        if errors.is_terminal:
            errors.print(f"{backend}: {check} …", style="dim", highlight=False, markup=False)

    report = proof.run(device, seconds, beginning)
    print_report(_console(), report)
    if report.exit_status:
        raise typer.Exit(report.exit_status)


@app.command("list")
def list_(
    kind: Annotated[Kind, typer.Argument(help="What to list.")],
    coverage: Annotated[
        bool, typer.Option("--coverage", help="Of ops: which variants of which backend compute them.")
    ] = False,
    store: StoreOption = "",
) -> None:
    """List ops, backends, devices, suites, configs or runs."""
    from dlbench.report import listing

    if coverage and kind is not Kind.OPS:
        raise UserError(f"--coverage is of ops: dlbench list ops --coverage, not {kind.value}")
    listing.print_rows(_console(), _coverage() if coverage else _rows(kind, store))


def _coverage() -> list[dict[str, str]]:
    from dlbench.coverage import coverage

    return coverage()


def _rows(kind: Kind, store: str) -> list[dict[str, str]]:
    from dlbench import inventory

    match kind:
        case Kind.OPS:
            return inventory.op_rows()
        case Kind.BACKENDS:
            return inventory.backend_rows()
        case Kind.DEVICES:
            return inventory.device_rows()
        case Kind.SUITES:
            return inventory.file_rows("suites")
        case Kind.CONFIGS:
            return inventory.file_rows("configs")
        case Kind.RUNS:
            return inventory.run_rows(store)


@app.command()
def info() -> None:
    """Print this machine's hardware, versions and flags, and how quiet it is."""
    from dlbench import inventory
    from dlbench.report import listing

    listing.print_sections(_console(), inventory.info_sections())


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors that complete and check YAML."""
    import json

    from dlbench.api import variants
    from dlbench.plan.config import json_schema

    _plain(json.dumps(json_schema(variants()), indent=2))


def _print_plan(plan: Plan) -> None:
    from dlbench import inventory
    from dlbench.report import listing

    summary = inventory.plan_summary(plan, SHOWN_CASES)
    listing.print_plan(_console(), {plan.config.name: summary.facts}, summary.rows, summary.more)


def _observer(console: Console, store: str) -> Live | Plain:
    from dlbench import api
    from dlbench.report.progress import Live, Plain

    def after_round(number: int, run_id: str) -> None:
        if number == 1:
            _print_run(console, api.load(run_id, store=store))

    return (Live if console.is_terminal and not console.quiet else Plain)(console, after_round)


def _load_what_prints() -> None:
    """Import what makes a table before a run, not after its first round: a Ctrl-C that comes during an import may be lost."""
    for name in (
        "dlbench.analysis.complexity",
        "dlbench.report.complexity",
        "dlbench.report.console",
        "scipy.special",
    ):
        import_module(name)


def _print_run(console: Console, run: Run) -> None:
    from dlbench.analysis.complexity import complexities
    from dlbench.report.complexity import print_complexities
    from dlbench.report.console import print_table

    print_table(console, run.record, run.frame(), stored=run.stored)
    print_complexities(console, complexities(run.record))


def _console(*, quiet: bool = False) -> Console:
    from rich.console import Console

    console = Console(quiet=quiet)
    if not console.is_terminal:
        console.width = 100  # a pipe or a log has no width of its own
    return console


def _errors() -> Console:
    from rich.console import Console

    return Console(stderr=True, soft_wrap=True)


def _plain(text: str) -> None:
    sys.stdout.write(text + "\n")


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Say what is wrong with another package in one line; any other warning is shown as Python shows it."""
    plain = warnings.formatwarning(message, category, filename, lineno, line)
    told = f"dlbench: warning: {message}\n" if issubclass(category, PluginWarning) else plain
    (file or sys.stderr).write(told)


def main() -> None:
    """Run the command line; a mistake of the user's is one message on stderr and exit status 2."""
    warnings.showwarning = _warn
    try:
        app()
    except DlbenchError as error:
        sys.stderr.write(f"dlbench: {error}\n")
        raise SystemExit(error.exit_status) from None
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        sys.stderr.close()
        raise SystemExit(0) from None
