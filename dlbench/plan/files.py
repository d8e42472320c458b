"""What Python files of the user's own bring to a plan: variants for its sweeps, and benchmarks beside them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from dlbench.errors import nearest
from dlbench.ops.catalogue import ops
from dlbench.ops.function import PYTHON, Function, FunctionProblem
from dlbench.plan.case import Case, Variant
from dlbench.plan.check import named_variants

if TYPE_CHECKING:
    from dlbench.plan.config import Config

NO_BENCHMARK = """write one, such as
  import dlbench

  @dlbench.benchmark(ranges={"n": (8, 8192)})
  def my_sort(state):
      data = list(range(state.n))[::-1]   # not timed
      for _ in state:                     # timed
          sorted(data)"""
NO_IMPLEMENTATION = """write one, such as
  import dlbench

  @dlbench.implements("softmax", variant="mine")
  def prepare(problem, x):
      return lambda: x.softmax(dim=1)"""


class Offer(NamedTuple):
    """A variant that a file has for an op."""

    op: str
    variant: Variant


@dataclass(frozen=True, slots=True)
class PythonFile:
    """What a worker has found in a file: implementations, and a function for each row of its benchmarks.

    `failure` says why it could not be imported, empty where it could.
    """

    path: str
    offers: tuple[Offer, ...] = ()
    functions: tuple[Function, ...] = ()
    failure: str = ""

    @property
    def name(self) -> str:
        """The file's own name."""
        return Path(self.path).name

    @property
    def variant(self) -> Variant:
        """The variant of the rows of its benchmarks: they stand side by side with another file's of the same name."""
        return Variant(PYTHON, re.sub(r"[^\w.-]+", "-", Path(self.path).stem))


Homes = Mapping[Variant, tuple[str, ...]]
"""The files in which each variant of the user's stands, or may have stood where all that could hold it failed."""
Known = Mapping[str, Collection[str]]
"""Each backend's variants."""


def homes(config: Config, known: Known, files: Sequence[PythonFile]) -> Homes:
    """Return where the user's variants stand; one that nobody knows is taken to stand in the files that failed.

    Raises ConfigError for a file that cannot be meant so: it holds no implementation, or for an op or backend that there is
    not, or a variant that the backend has itself, or none that the config names.
    """
    found: dict[Variant, tuple[str, ...]] = {}
    for file in files:
        _check_offers(config, known, file)
        for offer in file.offers:
            found[offer.variant] = tuple(dict.fromkeys((*found.get(offer.variant, ()), file.path)))
    failed = tuple(file.path for file in files if file.failure)
    for _, name in named_variants(config):
        variant = Variant(*name.split(":", 1))
        if (
            failed
            and variant not in found
            and variant.name not in known.get(variant.backend, (variant.name,))
        ):
            found[variant] = failed
    return found


def with_own(known: Known, own: Homes, benchmarks: Sequence[PythonFile] = ()) -> dict[str, tuple[str, ...]]:
    """Return each backend's variants with the user's among them, and the files of benchmarks as those of `python`."""
    found = {
        name: (*variants, *(one.name for one in own if one.backend == name))
        for name, variants in known.items()
    }
    return found | ({PYTHON: tuple(file.variant.name for file in benchmarks)} if benchmarks else {})


def _check_offers(config: Config, known: Known, file: PythonFile) -> None:
    place = ("import",)
    if file.failure:
        return
    if not file.offers:
        raise config.error(place, f"{file.name} holds no implementation", NO_IMPLEMENTATION)
    for op, (backend, variant) in file.offers:
        if op not in ops():
            raise config.error(place, f"{file.name}: no op `{op}`", nearest(op, ops()))
        if backend not in known:
            raise config.error(place, f"{file.name}: no backend `{backend}`", nearest(backend, known))
        if variant in known[backend]:
            told = f"{file.name}: {backend} has a variant `{variant}` of its own"
            raise config.error(place, told, "give yours another name")
    named = {name for _, name in named_variants(config)}
    offered = dict.fromkeys(str(offer.variant) for offer in file.offers)
    if not named & set(offered):
        told = f"{file.name} holds {', '.join(offered)}, and no `variants` names it"
        raise config.error(place, told, f"write variants: [torch:library, {next(iter(offered))}]")


def check_benchmarks(config: Config, files: Sequence[PythonFile]) -> None:
    """Raise ConfigError for a file without a benchmark, and for two files that have one name."""
    place = ("benchmarks",)
    for file in files:
        if not (file.functions or file.failure):
            offered = ", ".join(dict.fromkeys(str(offer.variant) for offer in file.offers))
            hint = f"it holds {offered}: a config names it under `import`" if offered else NO_BENCHMARK
            raise config.error(place, f"{file.name} holds no benchmark", hint)
        if sum(other.variant == file.variant for other in files) > 1:
            told = f"two files are called {file.variant.name}, and their rows would be as well"
            raise config.error(place, told, "give one of them another name")


def benchmark_cases(config: Config, files: Sequence[PythonFile]) -> Iterator[Case]:
    """Return a case for each function that the files hold, and one for each file that could not be imported.

    Functions of one name and with the same arguments that stand in several files are sampled in turn and compared.
    """
    baseline = config.baseline or ""
    for file in files:
        for function in file.functions or (Function(function=file.variant.name),):
            yield Case(FunctionProblem(function), file.variant, "cpu", baseline=baseline, files=(file.path,))
