"""From a Config to its cases, lazily, and to their number without making one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from pydantic import ValidationError

from dlbench.errors import ProblemError
from dlbench.ops.catalogue import ops
from dlbench.ops.op import Op
from dlbench.ops.problem import Problem
from dlbench.plan.case import Case, Launch, Mode, Variant
from dlbench.plan.check import check, check_variants, suite_problems
from dlbench.plan.config import Config, Sweep
from dlbench.plan.explain import wording
from dlbench.plan.fields import ACCELERATORS, ALL, GPU, MISSING_GPU
from dlbench.plan.select import select
from dlbench.plan.yaml import KeyPath

__all__ = ["cases", "count", "select"]


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a problem's parameters come from."""

    params: dict[str, Any]
    suite: str = ""
    layer: str = ""
    count: int = 1


def count(config: Config, devices: Sequence[str]) -> int:
    """Return how many cases the config has, by multiplying: a billion takes no longer than one.

    Repeated problems count each time; `cases` gives them once.
    """
    return sum(_count(config, index, devices) for index in range(len(config.sweeps)))


def _count(config: Config, index: int, devices: Sequence[str]) -> int:
    sweep = config.sweeps[index]
    if sweep.problems is not None:
        sources = len(sweep.op) * len(sweep.problems)
    else:
        starts = len(suite_problems(config, index)) if sweep.suite is not None else len(sweep.op)
        sources = starts * math.prod(len(axis) for axis in _axes(sweep))
    crossed = (sweep.dtype, sweep.direction, sweep.cache, sweep.data)
    places = len(_variants(config, sweep)) * len(_devices(sweep, devices)) * len(_ways(sweep))
    return sources * places * math.prod(len(axis) for axis in crossed)


def cases(config: Config, devices: Sequence[str], known: Mapping[str, Collection[str]]) -> Iterator[Case]:
    """Return the config's cases one by one, all variants of a problem together, a repeated case once.

    `devices` are those that `all` stands for; `known` are each backend's variants. Raises ConfigError at once for a variant
    that no backend has, and ProblemError, as it comes to it, for parameters that make no sense together.
    """
    check(config)
    check_variants(config, known)
    return _cases(config, devices)


def _cases(config: Config, devices: Sequence[str]) -> Iterator[Case]:
    """Return the cases; a hash of each is kept, which takes 60 bytes where the keys would take 300."""
    seen: set[int] = set()
    for index in range(len(config.sweeps)):
        for group in _groups(config, index, devices):
            shared = group[0].group
            for case in group:
                mark = hash((shared, case.variant, case.device, case.layout, case.flags))
                if mark not in seen:
                    seen.add(mark)
                    yield case


def _groups(config: Config, index: int, devices: Sequence[str]) -> Iterator[list[Case]]:
    """Return the cases of each problem and cache state, which all variants and devices share."""
    sweep = config.sweeps[index]
    variants = [Variant(*name.split(":", 1)) for name in _variants(config, sweep)]
    places = list(itertools.product(_devices(sweep, devices), variants, _ways(sweep)))
    if not places:
        return
    baseline = sweep.baseline or config.baseline or ""
    kinds = [ops()[name] for name in sweep.op]
    for kind, (number, source) in (
        (each, one) for each in kinds for one in enumerate(_sources(config, index, each))
    ):
        path: KeyPath = ("sweeps", index)
        op = _op(config, path if sweep.problems is None else (*path, "problems", number), kind, source)
        for dtype, direction, data, cache in itertools.product(
            sweep.dtype, sweep.direction, sweep.data, sweep.cache
        ):
            problem = Problem(op, dtype, direction, data)
            yield [
                Case(
                    problem,
                    variant,
                    device,
                    cache,
                    source.suite,
                    source.layer,
                    source.count,
                    baseline,
                    "" if way.layout == kind.own_layout() else way.layout,
                    way.launch,
                    way.mode,
                    way.cudnn_benchmark,
                )
                for device, variant, way in places
            ]


def _op(config: Config, path: KeyPath, kind: type[Op], source: _Source) -> Op:
    try:
        return kind(**source.params)
    except ProblemError as error:
        problem = str(error)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        given = ", ".join(f"{name}={value}" for name, value in source.params.items())
        problem = f"{kind.name} {given}: {'.'.join(str(part) for part in first['loc'])}: {wording(first)}"
    place = f"{config.place(path)}: " if config.place(path) else ""
    layer = f"layer {source.layer} of suite {source.suite}: " if source.layer else ""
    raise ProblemError(f"{place}{layer}{problem}")


class _Way(NamedTuple):
    """How the calls of a case are made, besides by which variant."""

    layout: str
    launch: Launch
    mode: Mode
    cudnn_benchmark: bool


def _ways(sweep: Sweep) -> list[_Way]:
    layouts = sweep.layout or ("",)
    return [_Way(*way) for way in itertools.product(layouts, sweep.launch, sweep.mode, sweep.cudnn_benchmark)]


def _variants(config: Config, sweep: Sweep) -> Sequence[str]:
    return sweep.variants or config.variants or ()


def _devices(sweep: Sweep, devices: Sequence[str]) -> Sequence[str]:
    """Return the sweep's devices; `devices` are the run's, which its words choose from."""
    return devices if sweep.devices is None else named_devices(sweep.devices, devices)


def named_devices(names: Sequence[str], devices: Sequence[str]) -> tuple[str, ...]:
    """Return what a list of devices and words (`all`, `accelerators`, `gpu`) stands for where there are these devices."""
    there = tuple(name for name in devices if name != "cpu")
    words = {ALL: tuple(devices), ACCELERATORS: there, GPU: there or (MISSING_GPU,)}
    return tuple(dict.fromkeys(name for word in names for name in words.get(word, (word,))))


def _axes(sweep: Sweep) -> list[Sequence[dict[str, Any]]]:
    """Return what is crossed, in the order written: an axis per parameter, or per group of zipped ones."""
    together = {name: group for group in sweep.zip for name in group}
    return [
        _Axis(group, sweep) for group in dict.fromkeys(together.get(name, (name,)) for name in sweep.params)
    ]


class _Axis(Sequence[dict[str, Any]]):
    """The values of parameters that go together, made when they are asked for."""

    def __init__(self, names: Sequence[str], sweep: Sweep) -> None:
        self._names = names
        self._values = [sweep.values(name) for name in names]

    def __len__(self) -> int:
        return len(self._values[0])

    def __getitem__(self, index: Any) -> Any:
        return {name: values[index] for name, values in zip(self._names, self._values, strict=True)}


def _sources(config: Config, index: int, kind: type[Op]) -> Iterator[_Source]:
    sweep = config.sweeps[index]
    if sweep.problems is not None:
        yield from (_Source(dict(params)) for params in sweep.problems)
        return
    starts: Iterable[_Source] = [_Source({})]
    if sweep.suite is not None:
        found = [one for one in suite_problems(config, index) if one.op == kind.name]
        starts = [_Source(dict(one.params), one.within(sweep.suite), one.layer, one.count) for one in found]
    for start in starts:
        for combination in _product(_axes(sweep)):
            yield replace(start, params=start.params | combination)


def _product(axes: Sequence[Sequence[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Return the cross product lazily: itertools.product would first copy each axis, which may hold a billion values."""
    if not axes:
        yield {}
        return
    for head in axes[0]:
        for tail in _product(axes[1:]):
            yield head | tail
