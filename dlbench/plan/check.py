"""Whether a config makes sense: what its models cannot know, said with file, line and key.

How the parameters of one problem fit together is the op's to say, when the problem is made.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from dlbench.errors import nearest
from dlbench.ops.catalogue import ops
from dlbench.ops.op import Op
from dlbench.plan.builtin import builtin_names
from dlbench.plan.explain import wording
from dlbench.plan.suite import SuiteProblem, load_suite
from dlbench.plan.yaml import KeyPath

if TYPE_CHECKING:
    from dlbench.plan.config import Config, Sweep

WEIGHTS = "parameters"
"""What `fit` can name besides a parameter of the op: the table's column."""
MOST_NAMED = 12
"""Words of a suite that an error lists."""


def check(config: Config) -> None:
    """Raise ConfigError for the first sweep that asks for what there is not."""
    known = ops()
    for index, sweep in enumerate(config.sweeps):
        kinds = [known[name] for name in sweep.op]
        _check_suite(config, index, sweep, kinds)
        _check_directions(config, index, sweep, kinds)
        _check_dtypes(config, index, sweep, kinds)
        _check_layouts(config, index, sweep, kinds)
        _check_zip(config, index, sweep)
        _check_fit(config, index, sweep, kinds)
        for kind in kinds:
            _check_names(config, index, sweep, kind)
            _check_values(config, index, sweep, kind)


def check_variants(config: Config, known: Mapping[str, Collection[str]]) -> None:
    """Raise ConfigError for a variant or baseline that no backend has; `known` are each backend's variants."""
    for path, name in named_variants(config):
        backend, _, variant = name.partition(":")
        if backend not in known:
            raise config.error(path, f"no backend `{backend}`", nearest(backend, known))
        if variant not in known[backend]:
            raise config.error(
                path, f"{backend} has no variant `{variant}`", nearest(variant, known[backend])
            )


def named_variants(config: Config) -> Iterator[tuple[KeyPath, str]]:
    """Return every variant that the config names, with where it is written."""
    parts: list[tuple[KeyPath, Config | Sweep]] = [((), config)]
    parts += [(("sweeps", index), sweep) for index, sweep in enumerate(config.sweeps)]
    for place, part in parts:
        if part.baseline is not None:
            yield (*place, "baseline"), part.baseline
        yield from (((*place, "variants", index), name) for index, name in enumerate(part.variants or ()))


def suite_problems(config: Config, index: int) -> list[SuiteProblem]:
    """Return the problems of a sweep's suite that are of its ops and that `where` leaves.

    Raises ConfigError when it leaves none.
    """
    sweep = config.sweeps[index]
    suite = load_suite(sweep.suite or "")
    known = ops()
    defaults = {
        name: {key: field.default for key, field in known[name].model_fields.items()} for name in sweep.op
    }
    left = [problem for problem in suite.problems if problem.op in sweep.op]
    for key, wanted in sweep.where.items():
        here = dict.fromkeys(problem.value(key, defaults[problem.op]) for problem in left)
        left = [problem for problem in left if problem.matches({key: wanted}, defaults[problem.op])]
        if not left:
            named = ", ".join(list(here)[:MOST_NAMED]) + (", …" if len(here) > MOST_NAMED else "")
            asked = ", ".join(str(word) for word in wanted)
            path = ("sweeps", index, "where", key)
            raise config.error(
                path, f"no problem of suite `{suite.name}` matches `{asked}`", f"there is {named}"
            )
    return left


def _check_suite(config: Config, index: int, sweep: Sweep, kinds: Sequence[type[Op]]) -> None:
    if sweep.suite is None:
        return
    place: KeyPath = ("sweeps", index)
    names = builtin_names("suites")
    if sweep.suite not in names:
        raise config.error((*place, "suite"), f"no suite `{sweep.suite}`", nearest(sweep.suite, names))
    suite = load_suite(sweep.suite)
    for kind in kinds:
        if kind.name not in suite.ops:
            has = f"it has {', '.join(suite.ops)}"
            raise config.error((*place, "op"), f"suite `{suite.name}` has no problem of {kind.name}", has)
        known = [*suite.names, *kind.model_fields]
        for key in sweep.where:
            if key not in known:
                told = f"{kind.name} has no parameter `{key}` to filter on"
                raise config.error((*place, "where", key), told, nearest(key, known))
    suite_problems(config, index)


def _check_directions(config: Config, index: int, sweep: Sweep, kinds: Sequence[type[Op]]) -> None:
    for kind in kinds:
        for direction in sweep.direction:
            if direction not in kind.directions:
                has = f"it has {', '.join(kind.directions)}"
                raise config.error(
                    ("sweeps", index, "direction"), f"{kind.name} has no direction `{direction}`", has
                )


def _check_dtypes(config: Config, index: int, sweep: Sweep, kinds: Sequence[type[Op]]) -> None:
    for kind in kinds:
        for dtype in sweep.dtype:
            if dtype not in kind.dtypes:
                has = f"it has {', '.join(kind.dtypes)}"
                raise config.error(("sweeps", index, "dtype"), f"{kind.name} has no dtype `{dtype}`", has)


def _check_layouts(config: Config, index: int, sweep: Sweep, kinds: Sequence[type[Op]]) -> None:
    for kind in kinds:
        for layout in sweep.layout or ():
            if layout not in kind.layouts:
                has = f"it has {', '.join(kind.layouts)}" if kind.layouts else "it has no choice of layouts"
                raise config.error(("sweeps", index, "layout"), f"{kind.name} has no layout `{layout}`", has)


def _check_fit(config: Config, index: int, sweep: Sweep, kinds: Sequence[type[Op]]) -> None:
    if sweep.fit in (None, WEIGHTS):
        return
    for kind in kinds:
        if sweep.fit not in kind.model_fields:
            known = [*kind.model_fields, WEIGHTS]
            raise config.error(
                ("sweeps", index, "fit"),
                f"{kind.name} has no parameter `{sweep.fit}`",
                nearest(sweep.fit or "", known),
            )


def _check_zip(config: Config, index: int, sweep: Sweep) -> None:
    path: KeyPath = ("sweeps", index, "zip")
    names = [name for group in sweep.zip for name in group]
    for name in names:
        if name not in sweep.params:
            raise config.error(path, f"`{name}` is not among `params`", nearest(name, sweep.params))
        if names.count(name) > 1:
            raise config.error(path, f"`{name}` is named twice")
    for group in sweep.zip:
        lengths = {name: len(sweep.values(name)) for name in group}
        if len(set(lengths.values())) > 1:
            each = ", ".join(f"{name} has {length}" for name, length in lengths.items())
            raise config.error(path, f"zipped parameters differ in length: {each}")


def _given(sweep: Sweep, kind: type[Op]) -> Iterator[tuple[KeyPath, Collection[str]]]:
    """Return the sets of parameters that the op's problems are made of, with where each is written."""
    if sweep.problems is not None:
        yield from ((("problems", index), problem) for index, problem in enumerate(sweep.problems))
    elif sweep.suite is not None:
        mine = (problem for problem in load_suite(sweep.suite).problems if problem.op == kind.name)
        yield from (((), {*problem.params, *sweep.params}) for problem in mine)
    else:
        yield ("params",), sweep.params


def _check_names(config: Config, index: int, sweep: Sweep, kind: type[Op]) -> None:
    needed = [name for name, field in kind.model_fields.items() if field.is_required()]
    for name in sweep.params:
        _check_name(config, ("sweeps", index, "params", name), kind, name)
    for place, names in _given(sweep, kind):
        path: KeyPath = ("sweeps", index, *place)
        for name in names:
            _check_name(config, (*path, name), kind, name)
        missing = [name for name in needed if name not in names]
        if missing:
            raise config.error(
                path, f"{kind.name} needs {', '.join(missing)}", f"it takes {', '.join(kind.model_fields)}"
            )


def _check_name(config: Config, path: KeyPath, kind: type[Op], name: str) -> None:
    if name not in kind.model_fields:
        raise config.error(path, f"{kind.name} has no parameter `{name}`", nearest(name, kind.model_fields))


def _check_values(config: Config, index: int, sweep: Sweep, kind: type[Op]) -> None:
    for name in sweep.params:
        values = sweep.values(name)
        ends = (
            values if isinstance(values, tuple) else (values[0], values[-1])
        )  # a range's others lie between
        for value in ends:
            _check_value(config, ("sweeps", index, "params", name), kind, name, value)
    for number, problem in enumerate(sweep.problems or ()):
        for name, value in problem.items():
            _check_value(config, ("sweeps", index, "problems", number, name), kind, name, value)


def _check_value(config: Config, path: KeyPath, kind: type[Op], name: str, value: object) -> None:
    try:
        _adapter(kind, name).validate_python(value)
    except ValidationError as error:
        raise config.error(path, wording(error.errors(include_url=False)[0])) from None


@cache
def _adapter(kind: type[Op], name: str) -> TypeAdapter[Any]:
    """Return what checks one parameter by itself."""
    field = kind.model_fields[name]
    annotation: Any = field.annotation
    if field.metadata:
        annotation = Annotated[(annotation, *field.metadata)]
    return TypeAdapter(annotation, config=ConfigDict(strict=True))
