"""The Config: what to run and how well, from YAML."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from dlbench.errors import ConfigError, nearest
from dlbench.ops.catalogue import ops
from dlbench.ops.dtypes import DTYPES
from dlbench.ops.op import DIRECTIONS, DISTRIBUTIONS, Direction, Distribution
from dlbench.plan.builtin import builtin_names, builtin_path
from dlbench.plan.case import Cache
from dlbench.plan.yaml import Document, KeyPath, load_yaml, parse_value
from dlbench.units import parse_duration, parse_fraction

CACHES = ("hot", "cold")
DEVICE = r"^(all|cpu|(cuda|xpu|mps)(:[0-9]+)?)$"


def _as_tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


def _known(what: str, words: Sequence[str]) -> Callable[[Any], Any]:
    def check(word: Any) -> Any:
        if isinstance(word, str) and word not in words:
            raise ValueError(f"no {what} `{word}`\n{nearest(word, words)}")
        return word

    return check


def _words(what: str, words: Sequence[str]) -> tuple[BeforeValidator, WithJsonSchema]:
    """Return what makes a text one of the words, for pydantic and for the JSON Schema."""
    return BeforeValidator(_known(what, words)), WithJsonSchema({"enum": list(words)})


_AS_TUPLE = BeforeValidator(_as_tuple)
_NOT_EMPTY = Field(min_length=1)
_DTYPE = _words("dtype", tuple(DTYPES))
_DIRECTION = _words("direction", DIRECTIONS)
_CACHE = _words("cache state", CACHES)
_DATA = _words("data distribution", DISTRIBUTIONS)
_OP = _words("op", tuple(ops()))

Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}], "examples": ["3m"]}
    ),
]
Share = Annotated[
    float,
    BeforeValidator(parse_fraction),
    WithJsonSchema(
        {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}], "examples": ["1%"]}
    ),
]
VariantName = Annotated[str, Field(pattern=r"^[a-z0-9_]+:[a-z0-9_\-]+$")]
Dtypes = Annotated[tuple[Annotated[str, _DTYPE[0], _DTYPE[1]], ...], _AS_TUPLE, _NOT_EMPTY]
Directions = Annotated[tuple[Annotated[Direction, _DIRECTION[0], _DIRECTION[1]], ...], _AS_TUPLE, _NOT_EMPTY]
Caches = Annotated[tuple[Annotated[Cache, _CACHE[0], _CACHE[1]], ...], _AS_TUPLE, _NOT_EMPTY]
Distributions = Annotated[tuple[Annotated[Distribution, _DATA[0], _DATA[1]], ...], _AS_TUPLE, _NOT_EMPTY]
OpNames = Annotated[tuple[Annotated[str, _OP[0], _OP[1]], ...], _AS_TUPLE, _NOT_EMPTY]
Variants = Annotated[tuple[VariantName, ...], _AS_TUPLE, _NOT_EMPTY]
Devices = Annotated[tuple[Annotated[str, Field(pattern=DEVICE)], ...], _AS_TUPLE, _NOT_EMPTY]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RoundLimits(_Model):
    """How many fresh processes a case is measured in. Fewer than three say little of how they differ."""

    min: int = Field(3, ge=1)
    max: int = Field(10, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError(f"min {self.min} is more than max {self.max}")
        return self


class MeasurePolicy(_Model):
    """How well to measure. Times in seconds or as text: 150ms, 3m."""

    budget: Seconds | None = Field(
        None, description="the whole run's time; none by default: precision ends it"
    )
    precision: Share = Field(0.02, description="half width of the 95 % interval at which a case is done")
    rounds: RoundLimits = RoundLimits()
    first_visit: Seconds = Field(
        0.05, description="sampling time of a case in round 1, brief so that a whole table is there soon"
    )
    visit: Seconds = Field(0.15, description="sampling time of a case in each later round")
    sample: Seconds = Field(0.001, description="shortest sample: calls are batched until they last so long")
    timeout: Seconds = Field(
        60.0, description="a worker that does not answer for so long is killed, and its case is `timeout`"
    )


class Range(_Model):
    """from, from·factor, … or from, from+step, … up to and with `to`."""

    first: int = Field(alias="from")
    to: int
    factor: int | None = Field(None, ge=2)
    step: int | None = Field(None, ge=1)

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if (self.factor is None) == (self.step is None):
            raise ValueError("a range has either factor or step")
        if self.first > self.to:
            raise ValueError(f"an empty range: from {self.first} is more than to {self.to}")
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


Value = int | bool | float | str
Values = Range | Annotated[list[Value], Field(min_length=1)] | Value
Params = dict[str, Values]


class Sweep(_Model):
    """Ops, their problems, and what is crossed with them.

    The problems come from `params` (lists and ranges are crossed, those named together in `zip` go together), from `problems`
    (given one by one) or from a `suite` (filtered by `where`, changed or crossed by `params`).
    """

    op: OpNames
    params: Params = {}
    zip: tuple[tuple[str, ...], ...] = ()
    problems: Annotated[list[dict[str, Value]], Field(min_length=1)] | None = None
    suite: str | None = None
    where: dict[str, JsonValue] = {}
    dtype: Dtypes = ("float32",)
    direction: Directions = ("forward",)
    cache: Caches = ("hot",)
    data: Distributions = ("normal",)
    variants: Variants | None = None
    devices: Devices | None = None
    baseline: VariantName | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_zip(cls, data: Any) -> Any:
        """Read `zip: [m, n]` as `zip: [[m, n]]`."""
        if isinstance(data, dict) and isinstance(data.get("zip"), list):
            groups = data["zip"]
            if groups and all(isinstance(name, str) for name in groups):
                groups = [groups]
            data = data | {
                "zip": tuple(tuple(group) if isinstance(group, list) else group for group in groups)
            }
        return data

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.problems is not None and (self.suite or self.params):
            raise ValueError("`problems` stands alone, without `params` or `suite`")
        if self.problems is None and not self.suite and not self.params:
            raise ValueError("needs `params`, `problems` or `suite`")
        if self.where and not self.suite:
            raise ValueError("`where` filters a `suite`; there is none")
        for group in self.zip:
            lengths = {name: len(self.values(name)) for name in group if name in self.params}
            if len(lengths) < len(group):
                raise ValueError(
                    f"`zip` names {', '.join(set(group) - set(lengths))}, which `params` does not have"
                )
            if len(set(lengths.values())) > 1:
                raise ValueError(
                    "zipped parameters differ in length: " + ", ".join(f"{n} {k}" for n, k in lengths.items())
                )
        return self

    def values(self, name: str) -> Sequence[Value]:
        """Return the values of one parameter."""
        given = self.params[name]
        if isinstance(given, Range):
            return given.values()
        return given if isinstance(given, list) else [given]


class Config(_Model):
    """What to run and how well."""

    name: str = Field("", description="what the run is called; the file's name by default")
    description: str = ""
    seed: int = 0
    threads: Annotated[int, Field(ge=1)] | None = Field(
        None, description="all cores that the process may use by default"
    )
    baseline: VariantName | None = Field(None, description="the variant that speed-ups are over")
    variants: Variants | None = Field(None, description="for the sweeps that name none")
    devices: Devices = ("all",)
    measure: MeasurePolicy = MeasurePolicy()
    sweeps: Annotated[
        tuple[Sweep, ...],
        BeforeValidator(lambda value: tuple(value) if isinstance(value, list) else value),
        Field(min_length=1),
    ]

    @model_validator(mode="after")
    def _variants_somewhere(self) -> Self:
        if self.variants is None and any(sweep.variants is None for sweep in self.sweeps):
            raise ValueError(
                "`variants` is missing, here or in each sweep; such as [torch:library, numba:naive]"
            )
        return self

    def with_limits(self, *, budget: float | None, precision: float | None) -> Config:
        """Return this config with another budget or precision, where given."""
        changes = {
            key: value for key, value in (("budget", budget), ("precision", precision)) if value is not None
        }
        return self.model_copy(update={"measure": self.measure.model_copy(update=changes)})


def load_config(source: str | Path, overrides: Sequence[str] = ()) -> Config:
    """Return a validated config from a path or a built-in name, changed by `key=value` overrides.

    An override whose first word is a key of the config changes it (`measure.budget=1m`); any other changes every sweep
    (`dtype=float64`, `params.n=8`). Raises ConfigError with file, line, key and the nearest right word.
    """
    document = _find(source)
    for override in overrides:
        _override(document.data, override)
    data = {"name": Path(document.file).stem} | document.data
    try:
        return Config.model_validate(data)
    except ValidationError as error:
        raise _translated(error, document) from None


def _find(source: str | Path) -> Document:
    path = Path(source)
    if path.suffix not in {".yaml", ".yml"} and not path.exists():
        if str(source) in builtin_names("configs"):
            return load_yaml(builtin_path("configs", str(source)))
        raise ConfigError(
            f"no config `{source}`",
            hint=nearest(str(source), builtin_names("configs")) + " Or name a .yaml file.",
        )
    if not path.exists():
        raise ConfigError(
            "no such file", file=str(source), hint="built-in configs: " + ", ".join(builtin_names("configs"))
        )
    return load_yaml(path)


def _override(data: dict[str, Any], text: str) -> None:
    key, equals, value = text.partition("=")
    words = key.strip().split(".")
    if not equals or not all(words):
        raise ConfigError(f"`{text}` is not key=value", key="--set")
    parsed = parse_value(value, f"--set {text}")
    if words[0] in Config.model_fields and words[0] not in ("variants", "devices", "baseline"):
        return _put(data, words, parsed)
    if words[0] in Config.model_fields:
        data[words[0]] = parsed
        for sweep in data.get("sweeps") or []:
            sweep.pop(words[0], None)
        return None
    if words[0] not in Sweep.model_fields:
        raise ConfigError(
            f"no such key: {words[0]}",
            key="--set",
            hint=nearest(words[0], [*Config.model_fields, *Sweep.model_fields]),
        )
    for sweep in data.get("sweeps") or []:
        _put(sweep, words, parsed)
    return None


def _put(data: dict[str, Any], words: Sequence[str], value: Any) -> None:
    for word in words[:-1]:
        inner = data.setdefault(word, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"{word} holds no keys", key="--set")
        data = inner
    data[words[-1]] = value


def _translated(error: ValidationError, document: Document) -> ConfigError:
    """Return the first mistake as file, line, key and hint."""
    problems = error.errors(include_url=False)
    first = min(problems, key=lambda item: item["type"] != "extra_forbidden")
    path: KeyPath = tuple(
        part for part in first["loc"] if isinstance(part, int) or part in _WORDS or (*document.lines,)
    )
    known = tuple(part for index, part in enumerate(path) if path[: index + 1] in document.lines)
    message, _, hint = first["msg"].removeprefix("Value error, ").partition("\n")
    if first["type"] == "extra_forbidden":
        message, hint = "unknown key", nearest(str(path[-1]), _fields_at(path[:-1]))
    if len(problems) > 1:
        hint += f"{' ' if hint else ''}({len(problems) - 1} more after this one)"
    key = ".".join(str(part) for part in (known or path))
    return ConfigError(message, file=document.file, line=document.line(known), key=key, hint=hint)


_WORDS = frozenset({"measure", "rounds", "sweeps"})


def _fields_at(path: KeyPath) -> list[str]:
    names = [part for part in path if isinstance(part, str)]
    models: Mapping[str, type[BaseModel]] = {
        "measure": MeasurePolicy,
        "rounds": RoundLimits,
        "sweeps": Sweep,
        "params": Range,
    }
    model = models.get(names[-1], Config) if names else Config
    return [info.alias or name for name, info in model.model_fields.items()]


Draft = Literal["https://json-schema.org/draft/2020-12/schema"]


def json_schema(variants: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a config; `variants` are those of each backend."""
    schema = Config.model_json_schema(by_alias=True)
    names = [f"{backend}:{variant}" for backend, some in variants.items() for variant in some]
    one_variant: dict[str, Any] = {"type": "string", "enum": names}
    _replace_variants(schema, one_variant)
    _allow_scalars(schema)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "dlbench config"
    return schema


def _replace_variants(node: Any, replacement: dict[str, Any]) -> None:
    if isinstance(node, dict):
        if str(node.get("pattern", "")).startswith("^[a-z0-9_]+:"):
            node.clear()
            node.update(replacement)
        for inner in node.values():
            _replace_variants(inner, replacement)
    elif isinstance(node, list):
        for inner in node:
            _replace_variants(inner, replacement)


def _allow_scalars(schema: dict[str, Any]) -> None:
    """Let a single value stand for a list of one, as the config does."""
    owners = [schema, schema["$defs"]["Sweep"]]
    for owner in owners:
        for name, field in owner["properties"].items():
            if field.get("type") == "array" and name not in ("sweeps", "zip", "problems"):
                owner["properties"][name] = {
                    "anyOf": [field["items"], {k: v for k, v in field.items() if k != "title"}]
                }
    owners[1]["properties"]["zip"] = {"type": "array"}
