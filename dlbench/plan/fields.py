"""The kinds of fields that a config has: what each accepts, what it says otherwise, and its JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from dlbench.errors import nearest
from dlbench.ops.catalogue import ops
from dlbench.ops.dtypes import DTYPES
from dlbench.ops.op import DIRECTIONS, DISTRIBUTIONS, Direction, Distribution
from dlbench.plan.case import Cache, Launch, Mode
from dlbench.units import parse_duration, parse_fraction

CACHES: tuple[Cache, ...] = ("hot", "cold")
LAUNCHES: tuple[Launch, ...] = ("eager", "graph")
MODES: tuple[Mode, ...] = ("default", "all-plans")
ALL, ACCELERATORS, GPU = "all", "accelerators", "gpu"
DEVICE_WORDS = (ALL, ACCELERATORS, GPU)
"""Every device of the run; those that are no processor; the same, or `cuda:0` where there is none, to say what is missing."""
MISSING_GPU = "cuda:0"
DEVICE = r"all|accelerators|gpu|cpu|(cuda|xpu|mps)(:[0-9]+)?"
VARIANT = r"[A-Za-z0-9_.-]+:[A-Za-z0-9_.-]+"
LONGEST_SHOWN = 40

Json = dict[str, Any]


class Model(BaseModel):
    """A part of a config or suite: immutable, and it knows all of its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def shown(value: object) -> str:
    """Return a value as an error message shows it."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, dict):
        return "keys with values"
    if isinstance(value, int) and abs(value) >= 10**LONGEST_SHOWN:
        return "a huge number"
    text = str(value)
    return f"`{text[:LONGEST_SHOWN]}…`" if len(text) > LONGEST_SHOWN else f"`{text}`"


@dataclass(frozen=True)
class Check:
    """Runs `check` on the raw value first; it returns the value to go on with or raises ValueError("problem\\nhint")."""

    check: Callable[[Any], Any]
    schema: Callable[[Json], Json]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Put the check before the field's own."""
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> Json:
        """Describe what the check accepts."""
        return self.schema(dict(handler(schema)))


def one_of(what: str, words: Callable[[], Iterable[str]]) -> Check:
    """Accept one of the words; otherwise name the nearest."""

    def check(word: Any) -> Any:
        known = tuple(words())
        if not isinstance(word, str) or word not in known:
            raise ValueError(f"no {what} {shown(word)}\n{nearest(str(word)[:LONGEST_SHOWN], known)}")
        return word

    return Check(check, lambda _: {"type": "string", "enum": list(words())})


def text_like(pattern: str, wanted: str) -> Check:
    """Accept a text of a pattern; otherwise say what is wanted."""

    def check(text: Any) -> Any:
        if not isinstance(text, str) or re.fullmatch(pattern, text) is None:
            raise ValueError(f"{shown(text)} is not {wanted}")
        return text

    return Check(check, lambda _: {"type": "string", "pattern": f"^({pattern})$"})


def measured_in(parse: Callable[[str | float], float], wanted: str, example: str) -> Check:
    """Accept a number or a text with a unit, such as 3m or 2%."""

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"{shown(value)} is not {wanted}; write {example}")  # noqa: TRY004 - pydantic's contract
        if len(shown(value)) != len(f"`{value}`"):  # no quantity is that long
            raise ValueError(f"{shown(value)} is not {wanted}; write {example}")
        return parse(value)

    schema = {"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "string"}], "examples": [example]}
    return Check(check, lambda _: dict(schema))


def _several(value: Any) -> tuple[Any, ...]:
    """Return a list as a tuple without repetitions, and a single value as a tuple of one."""
    if not isinstance(value, list | tuple):
        return (value,)
    if not value:
        raise ValueError("the list is empty")
    return tuple({f"{type(item).__name__} {item!r}": item for item in value}.values())


def _several_schema(schema: Json) -> Json:
    kept = {key: part for key, part in schema.items() if key != "title"}
    return {"anyOf": [schema["items"], kept | {"minItems": 1}]}


def _scalar(value: Any) -> Any:
    if value is not None and not isinstance(value, bool | int | float | str):
        raise ValueError(f"a single value is wanted, not {shown(value)}")
    return value


def _layouts() -> list[str]:
    """Return every order of axes that some op can have in memory."""
    return list(dict.fromkeys(layout for op in ops().values() for layout in op.layouts))


LIST = Check(_several, _several_schema)
Scalar = Annotated[int | bool | float | str | None, Check(_scalar, lambda schema: schema)]
Scalars = Annotated[tuple[Scalar, ...], LIST]
Seconds = Annotated[float, measured_in(parse_duration, "a duration", "3m")]
Share = Annotated[float, measured_in(parse_fraction, "a fraction", "1%")]
VariantName = Annotated[str, text_like(VARIANT, "backend:variant, such as torch:library")]
DeviceName = Annotated[
    str, text_like(DEVICE, "a device; write cpu, cuda:0, xpu:0, mps:0, gpu, accelerators or all")
]
Devices = Annotated[tuple[DeviceName, ...], LIST]
Variants = Annotated[tuple[VariantName, ...], LIST]
Files = Annotated[
    tuple[Annotated[str, text_like(r".*[^/]\.py", "a Python file, such as my_conv.py")], ...], LIST
]
OpNames = Annotated[tuple[Annotated[str, one_of("op", ops)], ...], LIST]
Dtypes = Annotated[tuple[Annotated[str, one_of("dtype", lambda: DTYPES)], ...], LIST]
Directions = Annotated[tuple[Annotated[Direction, one_of("direction", lambda: DIRECTIONS)], ...], LIST]
Caches = Annotated[tuple[Annotated[Cache, one_of("cache state", lambda: CACHES)], ...], LIST]
Launches = Annotated[tuple[Annotated[Launch, one_of("launch", lambda: LAUNCHES)], ...], LIST]
Modes = Annotated[tuple[Annotated[Mode, one_of("mode", lambda: MODES)], ...], LIST]
Layouts = Annotated[tuple[Annotated[str, one_of("layout", _layouts)], ...], LIST]
Switches = Annotated[tuple[bool, ...], LIST]
Distributions = Annotated[
    tuple[Annotated[Distribution, one_of("data distribution", lambda: DISTRIBUTIONS)], ...], LIST
]
