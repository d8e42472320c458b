"""The Config: what to run and how well, from YAML."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    Field,
    PrivateAttr,
    Tag,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.types import Discriminator

from dlbench.errors import ConfigError, SelectionError, nearest
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.check import check
from dlbench.plan.explain import Models, explained
from dlbench.plan.fields import (
    DEVICE_WORDS,
    Caches,
    Devices,
    Directions,
    Distributions,
    Dtypes,
    Files,
    Launches,
    Layouts,
    Model,
    Modes,
    OpNames,
    Scalar,
    Scalars,
    Seconds,
    Share,
    Switches,
    VariantName,
    Variants,
)
from dlbench.plan.override import override
from dlbench.plan.paths import measuring, placed
from dlbench.plan.yaml import Document, KeyPath, load_yaml

LARGEST = 2**53
"""The largest number of a range: far beyond any extent, and its length still fits a machine word."""


class RoundLimits(Model):
    """How many fresh processes a case is measured in. With fewer than four, two runs cannot be compared."""

    min: int = Field(4, ge=1)
    max: int | None = Field(
        None,
        ge=1,
        description="10 by default, as many as there is time for where a budget alone ends the run",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self


class MeasurePolicy(Model):
    """How well to measure. Times in seconds or as text: 150ms, 3m."""

    budget: Seconds | None = Field(
        None, description="the whole run's time; none by default: precision ends it"
    )
    precision: Share | None = Field(
        None,
        description="half width of the 95 % interval at which a case is done; without it a budget is used up, and without "
        "either it is 2%",
    )
    rounds: RoundLimits = RoundLimits()
    first_visit: Seconds = Field(
        0.05, description="sampling time of a case in round 1, brief so that a whole table is there soon"
    )
    visit: Seconds = Field(0.15, description="sampling time of a case in each later round")
    sample: Seconds = Field(0.001, description="shortest sample: calls are batched until they last so long")
    energy: bool = Field(
        False, description="joules of a call on an accelerator, once in round 2: takes 2 s a case"
    )
    parallel: bool = Field(
        False,
        description="several accelerators at once, each with workers of its own; one after the other by default",
    )
    timeout: Seconds = Field(
        60.0, description="a worker that does not answer for so long is killed, and its case is `timeout`"
    )


class Range(Model):
    """from, from·factor, … or from, from+step, … up to and with `to`."""

    first: int = Field(alias="from", ge=-LARGEST, le=LARGEST)
    to: int = Field(ge=-LARGEST, le=LARGEST)
    factor: int | None = Field(None, ge=2)
    step: int | None = Field(None, ge=1, le=LARGEST)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.factor is None) == (self.step is None):
            raise ValueError("a range has either factor or step")
        if self.first > self.to:
            raise ValueError(f"the range is empty: from {self.first} is more than to {self.to}")
        if self.factor is not None and self.first < 1:
            raise ValueError("a range with factor starts at 1 or more")
        return self

    def values(self) -> Sequence[int]:
        """Return the numbers, lazily where they are evenly spaced."""
        if self.step is not None:
            return range(self.first, self.to + 1, self.step)
        values, value = [], self.first
        while value <= self.to:
            values.append(value)
            value *= self.factor or 2
        return values


def _kind_of_values(value: Any) -> str:
    return "range" if isinstance(value, dict | Range) else "values"


Values = Annotated[
    Annotated[Range, Tag("range")] | Annotated[Scalars, Tag("values")], Discriminator(_kind_of_values)
]


class Sweep(Model):
    """Ops, their problems, and what is crossed with them.

    The problems come from `params` (lists and ranges are crossed, those named together in `zip` go together), from
    `problems` (given one by one) or from a `suite` (filtered by `where`, changed or crossed by `params`).
    """

    op: OpNames
    params: dict[str, Values] = Field(default_factory=dict)
    zip: tuple[tuple[str, ...], ...] = ()
    problems: list[dict[str, Scalar]] | None = None
    suite: str | None = None
    where: dict[str, Scalars] = Field(
        default_factory=dict,
        description="which of a suite's problems: globs for layer, part and application, values for the ops' parameters",
    )
    dtype: Dtypes = ("float32",)
    direction: Directions = ("forward",)
    cache: Caches = ("hot",)
    data: Distributions = ("normal",)
    layout: Layouts | None = Field(
        None, description="order of the axes in memory; the op's own by default: NCHW for a convolution"
    )
    launch: Launches = Field(
        ("eager",), description="graph: replayed from a CUDA graph, so that the host's part is paid once"
    )
    cudnn_benchmark: Switches = Field(
        (False,), description="whether cuDNN tries its algorithms first and keeps the fastest"
    )
    mode: Modes = Field(("default",), description="all-plans: every plan that cuDNN has is timed and listed")
    variants: Variants | None = None
    devices: Devices | None = None
    baseline: VariantName | None = None
    fit: str | None = Field(
        None,
        description="how the time grows is told below the table, as a power of this parameter, or of `parameters`, the "
        "network's weights and biases",
    )

    @field_validator("zip", mode="before")
    @classmethod
    def _groups(cls, groups: Any) -> Any:
        """Read `zip: [m, n]` as `zip: [[m, n]]`."""
        if not isinstance(groups, list | tuple):
            return groups
        if groups and all(isinstance(name, str) for name in groups):
            groups = [groups]
        return tuple(tuple(group) if isinstance(group, list) else group for group in groups)

    @field_validator("problems")
    @classmethod
    def _some_problems(cls, problems: list[dict[str, Scalar]] | None) -> list[dict[str, Scalar]] | None:
        if problems is not None and not problems:
            raise ValueError("the list is empty")
        return problems

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.problems is not None and (self.suite is not None or self.params):
            raise ValueError("`problems` stands alone, without `params` or `suite`")
        if self.problems is None and self.suite is None and not self.params:
            raise ValueError("needs `params`, `problems` or `suite`")
        if self.where and self.suite is None:
            raise ValueError("`where` filters a `suite`; there is none")
        return self

    def values(self, name: str) -> Sequence[Scalar]:
        """Return the values of one parameter."""
        given = self.params[name]
        return given.values() if isinstance(given, Range) else given


class Config(Model):
    """What to run and how well."""

    name: str = Field("", description="what the run is called; the file's name by default")
    description: str = ""
    seed: int = Field(0, ge=0)
    threads: int | None = Field(None, ge=1, description="all cores that the process may use by default")
    baseline: VariantName | None = Field(None, description="the variant that speed-ups are over")
    variants: Variants | None = Field(None, description="for the sweeps that name none")
    devices: Devices = ("all",)
    measure: MeasurePolicy = MeasurePolicy()
    imports: Files | None = Field(
        None, alias="import", description="Python files whose @dlbench.implements functions are variants here"
    )
    benchmarks: Files | None = Field(
        None, description="Python files whose @dlbench.benchmark functions are measured beside the sweeps"
    )
    sweeps: tuple[Sweep, ...] = Field((), description="may be left out where there are benchmarks")

    _document: Document = PrivateAttr(default_factory=Document)

    @field_validator("sweeps", mode="before")
    @classmethod
    def _some_sweeps(cls, sweeps: Any, info: ValidationInfo) -> Any:
        if isinstance(sweeps, list | tuple) and not sweeps and not info.data.get("benchmarks"):
            raise ValueError("there are none; a config needs one at least")
        return tuple(sweeps) if isinstance(sweeps, list) else sweeps

    @model_validator(mode="after")
    def _something_to_measure(self) -> Self:
        if not (self.sweeps or self.benchmarks):
            raise ValueError("`sweeps` is missing")
        return self

    @model_validator(mode="after")
    def _variants_somewhere(self) -> Self:
        if self.variants is None and any(sweep.variants is None for sweep in self.sweeps):
            raise ValueError(
                "`variants` is missing, here or in each sweep; such as [torch:library, numba:naive]"
            )
        return self

    def error(self, path: KeyPath, problem: str, hint: str = "") -> ConfigError:
        """Return the error that names the file, line and key at which this config says what is at the path."""
        return self._document.error(path, problem, hint)

    def place(self, path: KeyPath) -> str:
        """Return "file:line" of the key at the path, empty for a config that came from no file."""
        return ":".join(str(part) for part in self._document.place(path) if part)

    @property
    def files(self) -> tuple[str, ...]:
        """The Python files of the user's own that it names."""
        return tuple(dict.fromkeys((*(self.imports or ()), *(self.benchmarks or ()))))

    def on(self, devices: Sequence[str]) -> Config:
        """Return this config for these devices alone: a sweep keeps those of them that it names, or goes.

        Benchmarks stay. Raises SelectionError when no sweep is left of those that there were.
        """
        wanted = set(devices)
        sweeps = []
        for sweep in self.sweeps:
            kept = tuple(name for name in sweep.devices or () if name in wanted or name in DEVICE_WORDS)
            if kept or sweep.devices is None:
                sweeps.append(sweep.model_copy(update={"devices": kept or None}))
        if self.sweeps and not sweeps:
            named = dict.fromkeys(name for sweep in self.sweeps for name in sweep.devices or ())
            raise SelectionError(
                f"no sweep of {self.name} is on {', '.join(devices)}: they name {', '.join(named)}"
            )
        return self.model_copy(update={"devices": tuple(devices), "sweeps": tuple(sweeps)})

    def with_limits(self, *, budget: float | None, precision: float | None) -> Config:
        """Return this config with the limits given in the place of its own, both of them.

        A budget alone is used up, a precision alone is measured until it is reached; with both, what comes first ends the
        run. With neither the config's own limits hold.
        """
        if budget is None and precision is None:
            return self
        changes = {"budget": budget, "precision": precision}
        return self.model_copy(update={"measure": self.measure.model_copy(update=changes)})


_MODELS: Models = {
    (): Config,
    ("measure",): MeasurePolicy,
    ("measure", "rounds"): RoundLimits,
    ("sweeps",): Sweep,
    ("sweeps", "params"): Range,
}


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Return a validated config from a path or a built-in name, changed by `key=value` overrides.

    A Python file is the config that measures its benchmarks and nothing else. An override whose first word is a key of the
    config changes it (`measure.budget=1m`); any other changes every sweep (`dtype=float64`, `params.n=8`). Raises
    ConfigError with file, line, key and the nearest right word.
    """
    document = _find(source)
    keys = [info.alias or name for name, info in Config.model_fields.items()]
    for text in overrides:
        override(document, text, keys, Sweep.model_fields)
    try:
        config = Config.model_validate({"name": _name(document.file)} | document.data)
    except ValidationError as error:
        raise explained(error, document, _MODELS) from None
    files = {"imports": ("import", config.imports), "benchmarks": ("benchmarks", config.benchmarks)}
    config = config.model_copy(
        update={name: placed(document, key, paths) for name, (key, paths) in files.items() if paths}
    )
    config._document = document  # noqa: SLF001 - its own module
    check(config)
    return config


def _name(file: str) -> str:
    return re.sub(r"[^\w.-]+", "-", Path(file).stem)


def _find(source: str | Path) -> Document:
    path, name = Path(source), str(source)
    builtin = builtin_names("configs")
    if name in builtin:
        return load_yaml(builtin_path("configs", name))
    if path.suffix == ".py":
        return measuring(path)
    if path.suffix in (".yaml", ".yml") or "/" in name or path.is_file():
        try:
            return load_yaml(path)
        except ConfigError as error:
            if error.problem == "no such file":
                raise ConfigError(error.problem, file=error.file, hint=_builtin_hint(path.stem)) from None
            raise
    raise ConfigError(f"no config `{name}`", hint=f"{_builtin_hint(name)} Or name a .yaml file.")


def _builtin_hint(word: str) -> str:
    found = nearest(word, builtin_names("configs"))
    return found if found.endswith("?") else "built-in configs: " + ", ".join(builtin_names("configs")) + "."


def json_schema(variants: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config; `variants` are those of each backend."""
    from dlbench.plan.schema import (
        describe,
    )  # it imports nothing of this module, and only an editor's set-up needs it

    return describe(Config, variants)
