"""What the makers of boards say they do at most: the dense peaks of `peaks.yaml`, found by the name of a device."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from dlbench.devices.device import Device

_Loader = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
_TERA, _GIGA, _GIB = 1e12, 1e9, 2**30
MEMORY_TOLERANCE = 0.1
"""Share by which a device's memory may differ from its sheet's: error correction and firmware take up to 8 %."""
_BRANDS = ("NVIDIA ", "AMD ")
"""What some drivers write before a name and others do not: NVIDIA's do since 2021."""

DType = Literal["float64", "float32", "tf32", "float16", "bfloat16", "float8", "int8"]
DTYPES: tuple[DType, ...] = ("float64", "float32", "tf32", "float16", "bfloat16", "float8", "int8")
Rates = dict[DType, PositiveFloat]
"""TFLOP/s by dtype."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Strict):
    """A document that states peaks."""

    title: Annotated[str, Field(min_length=1)]
    url: str = ""


class Board(_Strict):
    """An entry of `peaks.yaml`; its keys are described there."""

    board: str
    names: Annotated[tuple[str, ...], Field(min_length=1)]
    vector: Rates = Field(default_factory=dict)
    matrix: Rates = Field(default_factory=dict)
    bandwidth: PositiveFloat | None = None
    memory: PositiveFloat | None = None
    cores: PositiveInt | None = None
    boost_mhz: PositiveFloat | None = None
    per_clock: PositiveInt = 2
    source: Annotated[tuple[str, ...], Field(min_length=1)]
    note: str = ""

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if not (self.vector or self.matrix):
            raise ValueError(f"{self.board} has no rate")
        return self

    def best(self, dtype: DType) -> float | None:
        """Return the TFLOP/s of the faster of the two kinds of units, None where neither is stated."""
        return max((rates[dtype] for rates in (self.vector, self.matrix) if dtype in rates), default=None)

    def has(self, memory: int) -> bool:
        """Return whether a device with so many bytes can be this board; 0 bytes are unknown and contradict nothing."""
        if not memory or self.memory is None:
            return True
        return abs(memory / (self.memory * _GIB) - 1) <= MEMORY_TOLERANCE


class Catalogue(_Strict):
    """All entries, and the documents that they refer to."""

    sources: dict[str, Source]
    boards: tuple[Board, ...]

    @model_validator(mode="after")
    def _refers_to_what_there_is(self) -> Self:
        for board in self.boards:
            unknown = set(board.source) - self.sources.keys()
            if unknown:
                raise ValueError(f"{board.board} refers to unknown sources: {', '.join(sorted(unknown))}")
        return self

    def sourced(self, board: Board) -> str:
        """Return the documents of an entry as one text."""
        told = (self.sources[key] for key in board.source)
        return "; ".join(f"{one.title}, {one.url}" if one.url else one.title for one in told)

    @property
    def by_name(self) -> Mapping[str, Sequence[Board]]:
        """The boards of each name, without the maker's brand."""
        found: defaultdict[str, list[Board]] = defaultdict(list)
        for board in self.boards:
            for name in board.names:
                found[_plain(name)].append(board)
        return found


@dataclass(frozen=True, slots=True)
class Datasheet:
    """A board's peaks: dense FLOP/s by dtype, the faster of vector and matrix units; bandwidth in bytes/s.

    `boost_mhz` is the clock that the rates are stated at, `source` the documents that state them.
    """

    board: str
    flops: Mapping[str, float]
    bandwidth: float | None
    boost_mhz: float | None
    source: str


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """Return what `peaks.yaml` holds."""
    text = files("dlbench.devices").joinpath("peaks.yaml").read_text(encoding="utf-8")
    return Catalogue.model_validate(yaml.load(text, _Loader))  # noqa: S506 - it is safe_load's, in C


@lru_cache(maxsize=1)
def _by_name() -> Mapping[str, Sequence[Board]]:
    return catalogue().by_name


def _plain(name: str) -> str:
    """Return a name without its brand and with single spaces."""
    plain = " ".join(name.split())
    for brand in _BRANDS:
        plain = plain.removeprefix(brand)
    return plain


def datasheet(model: str, memory: int = 0) -> Datasheet | None:
    """Return the datasheet of the board that a driver calls so, with so many bytes of memory (0: unknown).

    A name must be known whole: a laptop's, a cut-down or a partitioned board is another one. None for a board that is not
    known, has another memory, or cannot be told from another of the same name.
    """
    fitting = [board for board in _by_name().get(_plain(model), ()) if board.has(memory)]
    if len(fitting) != 1:
        return None
    board = fitting[0]
    stated = {dtype: board.best(dtype) for dtype in DTYPES}
    return Datasheet(
        board=board.board,
        flops={dtype: rate * _TERA for dtype, rate in stated.items() if rate is not None},
        bandwidth=None if board.bandwidth is None else board.bandwidth * _GIGA,
        boost_mhz=board.boost_mhz,
        source=catalogue().sourced(board),
    )


def for_devices(devices: Iterable[Device]) -> dict[str, dict[str, Any]]:
    """Return the datasheets of the devices that have one, by device, as JSON-able values for a run's environment.

    Each holds `board`, `flops` (FLOP/s by dtype), `source` and, where stated, `bandwidth` (bytes/s) and `boost_mhz`.
    """
    sheets = {}
    for device in devices:
        # A processor's memory says nothing of which processor it is.
        sheet = datasheet(device.model, 0 if device.kind == "cpu" else device.memory)
        if sheet is not None:
            facts = {"board": sheet.board, "flops": dict(sheet.flops), "source": sheet.source}
            stated = {"bandwidth": sheet.bandwidth, "boost_mhz": sheet.boost_mhz}
            sheets[device.name] = facts | {name: value for name, value in stated.items() if value is not None}
    return sheets


def table() -> str:
    """Return all boards as a Markdown table, for the manual: TFLOP/s, those of the matrix units in bold."""
    head = ["board", *DTYPES, "GB/s", "GiB", "source"]
    rows = [
        [
            board.board,
            *_rates(board),
            _figure(board.bandwidth),
            _figure(board.memory),
            ", ".join(board.source),
        ]
        for board in catalogue().boards
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _rates(board: Board) -> list[str]:
    return [" ".join(filter(None, (_figure(board.vector.get(dtype)), _bold(board.matrix.get(dtype)))))
            for dtype in DTYPES]  # fmt: skip


def _bold(value: float | None) -> str:
    return "" if value is None else f"**{_figure(value)}**"


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.10g}"


def bibliography() -> str:
    """Return the sources as a Markdown list, for the manual."""
    named = catalogue().sources.items()
    return "\n".join(f"- `{key}`: {one.title}" + (f", <{one.url}>" if one.url else "") for key, one in named)
