"""From a Config to its cases, lazily, and to their number without making one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, NamedTuple

from pydantic import ValidationError

from dlbench.errors import ConfigError, ProblemError, SelectionError, nearest
from dlbench.ops.catalogue import ops
from dlbench.ops.op import Op
from dlbench.ops.problem import Problem
from dlbench.plan.case import Case, Variant
from dlbench.plan.config import Config, Sweep
from dlbench.plan.suite import SuiteProblem, load_suite

COLUMNS = ("op", "variant", "backend", "layer", "suite", "dtype", "direction", "cache", "data", "device")


class _Source(NamedTuple):
    """Where a problem's parameters come from."""

    params: dict[str, Any]
    suite: str = ""
    layer: str = ""
    times: int = 1


def count(config: Config, devices: Sequence[str]) -> int:
    """Return how many cases the config has, by multiplying: a billion takes no longer than one.

    Repeated problems count each time; `cases` gives them once.
    """
    return sum(_count(config, sweep, devices) for sweep in config.sweeps)


def _count(config: Config, sweep: Sweep, devices: Sequence[str]) -> int:
    if sweep.problems is not None:
        sources = len(sweep.problems)
    else:
        sources = math.prod(len(axis) for axis in _axes(sweep)) * (
            len(_suite_problems(sweep)) if sweep.suite else 1
        )
    axes = (
        sweep.op,
        sweep.dtype,
        sweep.direction,
        sweep.cache,
        sweep.data,
        _variants(config, sweep),
        _devices(sweep, devices),
    )
    return sources * math.prod(len(axis) for axis in axes)


def cases(config: Config, devices: Sequence[str], known: Mapping[str, Collection[str]]) -> Iterator[Case]:
    """Return the config's cases one by one, all variants of a problem together, a repeated case once.

    `devices` are those that `all` stands for; `known` are each backend's variants. Raises ConfigError for a variant that no
    backend has and for a filter that leaves nothing, ProblemError for parameters that make no sense.
    """
    _check_variants(config, known)
    seen: set[int] = set()
    for index, sweep in enumerate(config.sweeps):
        for case in _sweep_cases(config, sweep, devices, f"sweeps[{index}]"):
            mark = hash(case.key)
            if mark not in seen:
                seen.add(mark)
                yield case


def _sweep_cases(config: Config, sweep: Sweep, devices: Sequence[str], where: str) -> Iterator[Case]:
    variants = [Variant(*name.split(":", 1)) for name in _variants(config, sweep)]
    baseline = sweep.baseline or config.baseline or ""
    places = list(itertools.product(_devices(sweep, devices), variants))
    kinds = [ops()[name] for name in sweep.op]
    for kind, source in ((kind, source) for kind in kinds for source in _sources(sweep)):
        op = _op(kind, source.params, where)
        _check_directions(op, sweep, where)
        for dtype, direction, data, cache in itertools.product(
            sweep.dtype, sweep.direction, sweep.data, sweep.cache
        ):
            problem = Problem(op, dtype, direction, data)
            for device, variant in places:
                yield Case(
                    problem, variant, device, cache, source.suite, source.layer, source.times, baseline
                )


def _op(kind: type[Op], params: dict[str, Any], where: str) -> Op:
    try:
        return kind(**params)
    except ProblemError as error:
        raise ProblemError(f"{where}: {error}") from None
    except ValidationError as error:
        first = min(error.errors(include_url=False), key=lambda one: one["type"] != "extra_forbidden")
        key = str(first["loc"][-1]) if first["loc"] else ""
        given = ", ".join(f"{name}={value}" for name, value in params.items())
        hint = f"{kind.name} takes {', '.join(kind.model_fields)}; given: {given}"
        if first["type"] == "extra_forbidden":
            raise ConfigError(
                f"{kind.name} has no parameter `{key}`", key=where, hint=nearest(key, kind.model_fields)
            ) from None
        missing = first["type"] == "missing"
        message = (
            f"{kind.name} needs the parameter `{key}`" if missing else f"{kind.name}.{key}: {first['msg']}"
        )
        raise ConfigError(message, key=where, hint=hint) from None


def _check_directions(op: Op, sweep: Sweep, where: str) -> None:
    for direction in sweep.direction:
        if direction not in op.directions:
            raise ConfigError(
                f"{op.name} has no direction `{direction}`",
                key=where,
                hint=f"it has {', '.join(op.directions)}",
            )


def _variants(config: Config, sweep: Sweep) -> Sequence[str]:
    return sweep.variants or config.variants or ()


def _devices(sweep: Sweep, devices: Sequence[str]) -> Sequence[str]:
    return devices if sweep.devices is None or "all" in sweep.devices else sweep.devices


def _axes(sweep: Sweep) -> list[Sequence[dict[str, Any]]]:
    """Return what is crossed: one axis per parameter, or per group of zipped ones."""
    zipped = {name for group in sweep.zip for name in group}
    single: list[Sequence[dict[str, Any]]] = [
        _Axis((name,), sweep) for name in sweep.params if name not in zipped
    ]
    return [*(_Axis(group, sweep) for group in sweep.zip), *single]


class _Axis(Sequence[dict[str, Any]]):
    """The values of parameters that go together, made when they are asked for."""

    def __init__(self, names: Sequence[str], sweep: Sweep) -> None:
        self._names = names
        self._values = [sweep.values(name) for name in names]

    def __len__(self) -> int:
        return len(self._values[0])

    def __getitem__(self, index: Any) -> Any:
        return {name: values[index] for name, values in zip(self._names, self._values, strict=True)}


def _sources(sweep: Sweep) -> Iterator[_Source]:
    if sweep.problems is not None:
        yield from (_Source(dict(params)) for params in sweep.problems)
        return
    starts: Iterable[_Source] = [_Source({})]
    if sweep.suite:
        starts = [_Source(dict(p.params), sweep.suite, p.layer, p.count) for p in _suite_problems(sweep)]
    for start in starts:
        for combination in _product(_axes(sweep)):
            yield start._replace(params=start.params | combination)


def _product(axes: Sequence[Sequence[dict[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Return the cross product lazily: itertools.product would first copy each axis, which may hold a billion values."""
    if not axes:
        yield {}
        return
    for head in axes[0]:
        for tail in _product(axes[1:]):
            yield head | tail


def _suite_problems(sweep: Sweep) -> list[SuiteProblem]:
    suite = _load_suite(sweep.suite or "")
    if suite.op not in sweep.op or len(sweep.op) > 1:
        raise ConfigError(
            f"suite `{suite.name}` holds {suite.op} problems, not {', '.join(sweep.op)}", key="op"
        )
    for key in sweep.where:
        if key not in suite.parameters():
            raise ConfigError(
                f"suite `{suite.name}` has no `{key}` to filter on",
                key="where",
                hint=nearest(key, suite.parameters()),
            )
    kept = [problem for problem in suite.problems if problem.matches(dict(sweep.where))]
    if not kept:
        raise ConfigError(f"no problem of suite `{suite.name}` matches {dict(sweep.where)}", key="where")
    return kept


_load_suite = lru_cache(maxsize=32)(load_suite)


def _check_variants(config: Config, known: Mapping[str, Collection[str]]) -> None:
    named = {
        name
        for sweep in config.sweeps
        for name in (*_variants(config, sweep), sweep.baseline or config.baseline)
        if name
    }
    for name in sorted(named):
        backend, _, variant = name.partition(":")
        if backend not in known:
            raise ConfigError(f"no backend `{backend}`", key=name, hint=nearest(backend, known))
        if variant not in known[backend]:
            raise ConfigError(
                f"{backend} has no variant `{variant}`", key=name, hint=nearest(variant, known[backend])
            )


def select(found: Iterable[Case], only: Sequence[str]) -> Iterator[Case]:
    """Return the cases that match every pattern, lazily.

    A pattern is `column=glob` (op, variant, layer, dtype, …, or a parameter, `c=64`; `a|b` for either), or a bare glob
    held against the variant, the op, the layer and the problem. Raises SelectionError when nothing matches.
    """
    matched = 0
    seen: set[str] = set()
    for case in found:
        if only and matched == 0 and len(seen) < 1000:
            seen.update((str(case.variant), case.problem.op.name, case.layer))
        if all(_matches(case, pattern) for pattern in only):
            matched += 1
            yield case
    if not matched:
        raise SelectionError(
            f"nothing matches --only {' '.join(only)}; there is {', '.join(sorted(seen - {''})[:40])}"
            if only
            else "no cases"
        )


def _matches(case: Case, pattern: str) -> bool:
    column, equals, glob = pattern.partition("=")
    if not equals:
        names = (str(case.variant), case.problem.op.name, case.layer, case.problem.label)
        return any(fnmatchcase(name, option) for name in names for option in pattern.split("|"))
    values = _columns(case)
    params = case.problem.op.model_dump()
    if column not in values and column not in params:
        raise SelectionError(f"--only {pattern}: no column `{column}`; {nearest(column, [*values, *params])}")
    value = values[column] if column in values else str(params[column])
    return any(fnmatchcase(value, option) for option in glob.split("|"))


def _columns(case: Case) -> dict[str, str]:
    problem = case.problem
    found = (
        problem.op.name,
        str(case.variant),
        case.variant.backend,
        case.layer,
        case.suite,
        problem.dtype,
        problem.direction,
    )
    return dict(zip(COLUMNS, (*found, case.cache, problem.data, case.device), strict=True))
