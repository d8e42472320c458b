"""What the command line and a Python program do alike: plan, run, load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from sqlalchemy.engine import make_url

from dlbench.analysis.peaks import PEAKS_CONFIG, Peaks, find_peaks
from dlbench.backends.catalogue import backends
from dlbench.devices.cpu import usable_cores
from dlbench.devices.datasheet import for_devices
from dlbench.devices.environment import devices as found_devices
from dlbench.devices.environment import environment
from dlbench.errors import FileError, StoreError, UserError
from dlbench.ops.function import FunctionProblem
from dlbench.plan.case import Case
from dlbench.plan.config import Config, load_config
from dlbench.plan.files import PythonFile, benchmark_cases, check_benchmarks, homes, with_own
from dlbench.plan.select import named, select
from dlbench.plan.sweep import cases as planned_cases
from dlbench.plan.sweep import count, named_devices
from dlbench.results import formats, measurement
from dlbench.results.digest import Digest, digest_of
from dlbench.results.store import Store, default_url
from dlbench.runner.arm import FILES, Arm, Machine
from dlbench.runner.files import digests, look_into
from dlbench.runner.observer import Observer, Silent
from dlbench.runner.pair import Pair, compare_calls
from dlbench.runner.run import Session
from dlbench.timing.clock import Call
from dlbench.units import format_count, parse_duration, parse_fraction

if TYPE_CHECKING:
    import pandas as pd

    from dlbench.analysis.aa import SelfComparison
    from dlbench.analysis.comparison import Comparison
    from dlbench.analysis.floor import Floors

MOST_CASES = 100_000
"""Cases beyond which a run must be confirmed: at the shortest visit of 50 ms, an hour and a half for one round."""


PEAKS_SECONDS = 30.0
"""What the peaks may take when they are measured before another run."""
ACCELERATOR_PEAKS_SECONDS = 90.0
"""The same where an accelerator is among the devices: it is looked at in more number formats."""
ENDING_SECONDS, ENDING_SECONDS_A_CASE, LONGEST_ENDING = 1.0, 0.03, 6.0
"""Of a budget, what is left for starting, the last visit's overrun and the table: the budget is the whole command's."""
PEAKS_SHARE = 3
"""A budget must be so many times that, or the run goes without; `dlbench run peaks` measures them at leisure."""


@dataclass(frozen=True)
class Run:
    """A run's results: its measurements, the peaks that they are held against, and where it is stored."""

    record: measurement.Run
    peaks: Peaks | None
    stored: str = ""

    @property
    def id(self) -> str:
        """The run's id in its store."""
        return self.record.id

    @property
    def environment(self) -> Mapping[str, Any]:
        """What it was measured in: machine, software, flags, state."""
        return self.record.environment

    def frame(self) -> pd.DataFrame:
        """Return the table: one row a case, the columns of the contract (docs/columns.md)."""
        from dlbench.analysis import table  # brings pandas, which planning must not wait for

        return table.frame(self.record, self.peaks)

    def write(self, *paths: str | Path) -> None:
        """Write the table to files, the format by ending: .csv .json .parquet .md.

        Raises UserError for an unknown ending or a place that cannot be written.
        """
        frame = self.frame()
        for path in paths:
            formats.write(Path(path), frame, self.record)


@dataclass(frozen=True)
class Plan:
    """A validated config and the cases it asks for, not yet enumerated.

    `only` and `filter` keep some of them. `files` are the user's own that the config names, as they were found.
    """

    config: Config
    devices: tuple[str, ...]
    only: tuple[str, ...]
    files: tuple[PythonFile, ...] = ()
    filter: str = ""

    @property
    def total(self) -> int:
        """How many cases the config has before `only` and `filter`, by arithmetic."""
        return count(self.config, self.devices) + sum(1 for _ in self._benchmarks())

    @property
    def narrowed(self) -> bool:
        """Whether not all of them are asked for."""
        return bool(self.only or self.filter)

    def cases(self) -> Iterable[Case]:
        """Return the cases lazily; each problem is checked as it comes."""
        benchmarks = self._named(self.config.benchmarks)
        check_benchmarks(self.config, benchmarks)
        known = variants()
        own = homes(self.config, known, self._named(self.config.imports))
        planned = planned_cases(self.config, self.devices, with_own(known, own, benchmarks))
        if own:
            planned = (replace(case, files=own.get(case.variant, ())) for case in planned)
        parameters = {name for file in benchmarks for row in file.functions for name in row.arguments}
        return select(named(chain(planned, self._benchmarks()), self.filter), self.only, parameters)

    def _benchmarks(self) -> Iterator[Case]:
        return benchmark_cases(self.config, self._named(self.config.benchmarks))

    def _named(self, paths: Sequence[str] | None) -> list[PythonFile]:
        return [file for file in self.files if file.path in (paths or ())]


def variants() -> dict[str, tuple[str, ...]]:
    """Return every backend's variants by its name, importing no framework."""
    return {name: tuple(spec.variants) for name, spec in backends().items()}


def plan(
    config: str | Path | Config,
    *,
    only: Sequence[str] = (),
    overrides: Sequence[str] = (),
    device: Sequence[str] = (),
    budget: str | float | None = None,
    precision: str | float | None = None,
    filter: str = "",  # noqa: A002 - what the command line calls it
) -> Plan:
    """Return what a config asks for on this machine.

    `config` is a path, the name of a built-in config, or a Config; a path to a Python file stands for its benchmarks. `only`
    keeps the cases that match every pattern, `filter` those whose names match a regular expression; `overrides` are
    `key=value`; `device` replaces the config's devices. The user's Python files are imported by processes of their own.
    Raises ConfigError, SelectionError or FileError.
    """
    if not isinstance(config, Config):
        config = load_config(config, overrides)
    config = config.with_limits(
        budget=None if budget is None else _checked(parse_duration, budget),
        precision=None if precision is None else _checked(parse_fraction, precision),
    )
    there = tuple(found.name for found in found_devices())
    names = named_devices(tuple(device) or config.devices, there)
    files = look_into(config.files, config.measure.timeout)
    if not config.sweeps and (failures := [file.failure for file in files]) and all(failures):
        raise FileError("; ".join(failures))
    return Plan(config.on(names) if device else config, names, tuple(only), files, filter)


def share_of(text: str | float) -> float:
    """Return 0.05 for "5%" or 0.05. Raises UserError for what is no share."""
    return _checked(parse_fraction, text)


def seconds_of(text: str | float) -> float:
    """Return 120 for "2m" or 120. Raises UserError for what is no duration."""
    return _checked(parse_duration, text)


def _checked(parse: Callable[[Any], float], value: str | float) -> float:
    try:
        return parse(value)
    except ValueError as error:
        raise UserError(str(error)) from None


def run(
    config: str | Path | Config,
    *,
    only: Sequence[str] = (),
    overrides: Sequence[str] = (),
    device: Sequence[str] = (),
    budget: str | float | None = None,
    precision: str | float | None = None,
    filter: str = "",  # noqa: A002 - what the command line calls it
    name: str = "",
    resume: bool = False,
    store: str = "",
    peaks: bool = True,
    yes: bool = False,
    observer: Observer | None = None,
) -> Run:
    """Measure what a config asks for and return the results, which are in the store as well.

    `resume` goes on with the newest unfinished run of that name. `peaks` measures this machine's peaks first where the store
    has none, within the budget. `yes` allows more than 100,000 cases. KeyboardInterrupt is raised again after what was
    measured has been kept. Raises UserError for what the user can mend.
    """
    wanted = plan(
        config,
        only=only,
        overrides=overrides,
        device=device,
        budget=budget,
        precision=precision,
        filter=filter,
    )
    return execute(
        wanted, name=name, resume=resume, store=store, peaks=peaks, yes=yes, observer=observer or Silent()
    )


def execute(
    wanted: Plan, *, name: str, resume: bool, store: str, peaks: bool, yes: bool, observer: Observer
) -> Run:
    """Measure a plan; see `run`."""
    refuse_too_many(wanted, yes=yes)
    start = time.monotonic()
    cases = list(wanted.cases())
    name = name or wanted.config.name
    with Store(store or default_url()) as opened:
        unfinished = _unfinished(opened, name) if resume else None
        machine = this_machine(wanted.config.threads, files=wanted.config.files)
        budget = wanted.config.measure.budget
        if peaks and (unknown := _without_peaks(opened, machine, cases)):
            _measure_peaks(opened, wanted.config, unknown, machine, observer)
        if budget is not None:
            budget = max(budget / 2, budget - (time.monotonic() - start) - ending_seconds(len(cases)))
        arm = Arm(wanted.config, cases, machine, opened)
        if unfinished is None:
            arm.begin(name)
        else:
            arm.take_up(unfinished)
        Session([arm], observer, budget).measure()
        return _result(opened, arm.run_id, store)


def ending_seconds(cases: int) -> float:
    """Return what a run of so many cases needs beside its rounds."""
    return min(LONGEST_ENDING, ENDING_SECONDS + ENDING_SECONDS_A_CASE * cases)


def refuse_too_many(wanted: Plan, *, yes: bool) -> None:
    """Raise UserError for more cases than anybody would wait for, unless confirmed."""
    if wanted.total > MOST_CASES and not (yes or wanted.narrowed):
        raise UserError(
            f"{wanted.config.name} asks for {format_count(wanted.total)} cases, more than {format_count(MOST_CASES)}; "
            "narrow it with --only or --set, or confirm with --yes"
        )


def _unfinished(store: Store, name: str) -> measurement.Run:
    run = store.unfinished(name)
    if run is None:
        raise UserError(f"no unfinished run named `{name}` in the store; start one without --resume")
    return run


def _without_peaks(store: Store, machine: Machine, cases: Sequence[Case]) -> tuple[str, ...]:
    """Return the devices of the cases whose peaks nobody has measured yet, of those that are there."""
    there = [device.name for device in found_devices()]
    known = find_peaks(store, machine.environment)
    tried = known.tried if known else frozenset()
    asked = {case.device for case in cases if not isinstance(case.problem, FunctionProblem)}
    return tuple(name for name in there if name in asked and name not in tried)


def _measure_peaks(
    store: Store, config: Config, devices: Sequence[str], machine: Machine, observer: Observer
) -> None:
    """Run the built-in peaks config on the devices, if that would leave the run most of its budget."""
    seconds = PEAKS_SECONDS if list(devices) == ["cpu"] else ACCELERATOR_PEAKS_SECONDS
    budget = config.measure.budget
    if config.name == PEAKS_CONFIG or (budget is not None and budget < PEAKS_SHARE * seconds):
        return
    peaks = load_config(PEAKS_CONFIG, [] if config.threads is None else [f"threads={config.threads}"])
    peaks = peaks.with_limits(budget=seconds, precision=peaks.measure.precision)
    observer.noted(
        f"measuring this machine's peaks first, once: at most {seconds:.0f} s (--no-peaks leaves it out)"
    )
    arm = Arm(peaks, list(Plan(peaks, tuple(devices), ()).cases()), machine, store)
    arm.begin(PEAKS_CONFIG)
    Session([arm], Silent(), peaks.measure.budget).measure()


def this_machine(
    threads: int | None = None, installed: Mapping[str, str] | None = None, files: Sequence[str] = ()
) -> Machine:
    """Return what a run on this machine is measured in.

    `installed` is the software of another interpreter, `files` the user's own, of which the contents' digests are kept.
    """
    found = found_devices()
    processor = found[0]
    facts = environment(found, threads or usable_cores(), installed)
    facts["datasheets"] = for_devices(found)
    if files:
        facts[FILES] = digests(files)
    return Machine(facts, processor.cores, processor.cache)


Source = str | Path | Run
"""A run: an id, a name or `latest` in the store, an exported file, or the Run itself."""


def load(source: str | Path, *, store: str = "") -> Run:
    """Return a run from the store (by id, name or `latest`) or from a .json or .parquet export.

    Raises SelectionError for an unknown run and StoreError for a file that is not one of ours.
    """
    path = Path(source)
    if path.suffix in formats.READABLE:
        return Run(formats.read(path), None)
    with Store(store or default_url()) as opened:
        return _result(opened, str(source), store)


@overload
def compare(first: Call, second: Call, /, **options: Any) -> Pair: ...
@overload
def compare(first: Source, /, *others: Source, **options: Any) -> Comparison: ...
def compare(first: Call | Source, /, *others: Call | Source, **options: Any) -> Pair | Comparison:
    """Return how the second stands against the first: of two functions without arguments, or of runs.

    Functions are called in turn in this process; `options` are those of `compare_calls` (names, precision,
    budget). Runs are ids, names, exported files or Run objects, and `options` those of `compare_runs` (by, store, floors).
    Raises UserError for a mixture of both.
    """
    things = (first, *others)
    functions = [thing for thing in things if callable(thing)]
    if not functions:
        return compare_runs([thing for thing in things if not callable(thing)], **options)
    if len(functions) != len(things) or len(things) != 2:
        raise UserError("compare takes two functions, or runs; bind arguments with functools.partial")
    return compare_calls(functions[0], functions[1], **options)


def compare_runs(
    sources: Sequence[Source], *, by: str = "", store: str = "", floors: Floors | None = None
) -> Comparison:
    """Return how runs stand against the first: each from the store, from a .json or .parquet export, or a Run.

    `by` is device, backend, variant or dtype: then the runs, or one alone, are pooled and the values of that field compared.
    `floors` are the noise floors; without, those that `dlbench aa` measured on the first run's machine, or else the defaults.
    Raises SelectionError, StoreError or UserError, one line each.
    """
    from dlbench.analysis.comparison import compare  # brings pandas, which planning must not wait for

    digests = [_digest(source, store) for source in sources]
    if floors is None and digests:
        floors = _floors(digests[0], store)
    names = [
        digest.run.id if isinstance(source, Run) or not _is_file(source) else str(source)
        for source, digest in zip(sources, digests, strict=True)
    ]
    return compare(digests, by=by, floors=floors, names=names)


def _floors(digest: Digest, store: str) -> Floors | None:
    from dlbench.analysis.aa import find_floors

    with suppress(StoreError), Store(store or default_url()) as opened:  # exported files need no store
        return find_floors(opened, digest.run.environment)
    return None


def self_comparison(sessions: Sequence[Sequence[str]], *, store: str = "") -> SelfComparison:
    """Return what runs of the same thing, given by their ids session by session, show of the machine's noise."""
    from dlbench.analysis import aa

    return aa.self_comparison([[_digest(one, store) for one in session] for session in sessions])


def _is_file(source: str | Path) -> bool:
    return Path(source).suffix.lower() in formats.WRITABLE


def _digest(source: str | Path | Run, store: str) -> Digest:
    if isinstance(source, Run):
        return digest_of(source.record)
    if _is_file(source):
        return digest_of(formats.read(source))
    with Store(store or default_url()) as opened:
        return opened.digest(str(source))


def _result(store: Store, reference: str, url: str) -> Run:
    record = store.load(reference)
    return Run(record, find_peaks(store, record.environment), printable_url(url or default_url()))


def printable_url(url: str) -> str:
    """Return a store's URL without its password."""
    return make_url(url).render_as_string(hide_password=True) if "://" in url else url
