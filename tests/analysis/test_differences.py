from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from run_strategies import runs
from runs import run_of

from dlbench.analysis.differences import KINDS, Difference, differences
from dlbench.results.measurement import Run

CPU = {
    "name": "cpu", "model": "A CPU", "vendor": "v", "memory": 16 * 2**30, "cache": 2**25, "cores": 2,
    "driver": "", "uuid": "",
}  # fmt: skip
GPU = CPU | {"name": "cuda:0", "model": "A GPU", "cores": 0, "driver": "550.54", "uuid": "GPU-1"}
ENVIRONMENT: dict[str, Any] = {
    "machine": {"hostname": "bench", "fingerprint": "f00d", "devices": [CPU, GPU]},
    "software": {"python": "3.12.1", "os": "Linux-6.1", "numpy": "2.4.6", "torch": "2.12.0"},
    "threads": 2,
    "state": {"load": 0.1, "governor": "powersave", "free_memory": 12345},
    "backends": {
        "torch": {"torch": "2.12.0+cpu", "onednn": "3.5", "threads": "2", "float32 matmul precision": "highest"},
        "numpy": {"numpy": "2.4.6", "blas": "openblas 0.3.27 (Haswell)", "blas threads": "2"},
    },
    "session": {"id": "s-1", "side": "A"},
}  # fmt: skip
CONFIG: dict[str, Any] = {
    "name": "conv", "seed": 0, "threads": None, "variants": ["torch:library"],
    "measure": {"budget": None, "precision": 0.02, "sample": 0.001, "visit": 0.15, "first_visit": 0.05},
}  # fmt: skip
Edit = Callable[[dict[str, Any], dict[str, Any]], object]
FIRST = run_of([], environment=ENVIRONMENT, config=CONFIG)


def _second(edit: Edit) -> Run:
    """Return a run like the first but for what the edit does to its environment and config."""
    environment, config = copy.deepcopy(ENVIRONMENT), copy.deepcopy(CONFIG)
    edit(environment, config)
    return run_of([], environment=environment, config=config)


def _lines(edit: Edit, **options: Any) -> list[str]:
    return list(map(str, differences(FIRST, _second(edit), **options)))


def _set(*path: Any) -> Edit:
    """Return the edit that puts the last of the path at the place that the rest of it names."""

    def edit(environment: dict[str, Any], _config: dict[str, Any]) -> None:
        *keys, last, value = path
        place: Any = environment
        for key in keys:
            place = place[key]
        place[last] = value

    return edit


def _without(*path: Any) -> Edit:
    def edit(environment: dict[str, Any], _config: dict[str, Any]) -> None:
        place: Any = environment
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return edit


def test_a_run_does_not_differ_from_itself() -> None:
    assert differences(FIRST, FIRST) == []


@pytest.mark.parametrize(
    ("edit", "line"),
    [
        (_set("machine", "hostname", "other"), "machine hostname: bench → other"),
        (_set("machine", "container", "docker"), "machine container: absent → docker"),
        (_set("software", "os", "Linux-6.8"), "machine operating system: Linux-6.1 → Linux-6.8"),
        (_set("machine", "devices", 0, "model", "B CPU"), "device cpu model: A CPU → B CPU"),
        (_set("machine", "devices", 0, "cores", 64), "device cpu cores: 2 → 64"),
        (_set("machine", "devices", 0, "memory", 2**35), "device cpu memory: 16.0 GiB → 32.0 GiB"),
        (_set("machine", "devices", 0, "cache", 0), "device cpu cache: 32.0 MiB → absent"),
        (_set("machine", "devices", 1, "uuid", "GPU-2"), "device cuda:0 uuid: GPU-1 → GPU-2"),
        (_set("machine", "devices", [CPU]), "device cuda:0: A GPU → absent"),
        (_set("machine", "devices", 1, "driver", "560.35"), "driver cuda:0: 550.54 → 560.35"),
        (_set("machine", "devices", 1, "driver", ""), "driver cuda:0: 550.54 → absent"),
        (_set("software", "numpy", "2.5.0"), "library numpy: 2.4.6 → 2.5.0"),
        (_set("software", "python", "3.13.0"), "library python: 3.12.1 → 3.13.0"),
        (_without("software", "torch"), "library torch: 2.12.0 → absent"),
        (_set("backends", "torch", "onednn", "none"), "library torch onednn: 3.5 → none"),
        (
            _set("backends", "numpy", "blas", "openblas 0.3.28 (Zen)"),
            "library numpy blas: openblas 0.3.27 (Haswell) → openblas 0.3.28 (Zen)",
        ),
        (_set("backends", "torch", "cuda driver", "12.4"), "driver torch cuda driver: absent → 12.4"),
        (_without("backends", "numpy"), "library numpy backend: used → absent"),
        (
            _set("backends", "torch", "float32 matmul precision", "high"),
            "flags torch float32 matmul precision: highest → high",
        ),
        (_set("variables", {"OMP_PROC_BIND": "true"}), "flags variables OMP_PROC_BIND: absent → true"),
        (_set("backends", "numpy", "blas threads", "1"), "threads numpy blas: 2 → 1"),
        (_set("backends", "torch", "threads", "1"), "threads torch: 2 → 1"),
        (_set("state", "governor", "performance"), "clock governor: powersave → performance"),
        (_set("state", "governor", ""), "clock governor: powersave → absent"),
        (_set("state", "load", 1.5), "clock load: 0.1 on 2 cores → 1.5 on 2 cores"),
        (lambda _, config: config.update(seed=1), "config seed: 0 → 1"),
        (lambda _, config: config["measure"].update(visit=1.0), "config measure.visit: 0.15 s → 1 s"),
        (lambda _, config: config["measure"].pop("sample"), "config measure.sample: 0.001 s → absent"),
    ],
)
def test_each_difference_is_one_line(edit: Edit, line: str) -> None:
    assert _lines(edit) == [line]


@pytest.mark.parametrize(
    "edit",
    [
        _set("machine", "fingerprint", "beef"),
        _set("machine", "devices", 0, "memory", 16 * 2**30 - 2**20),
        _set("machine", "devices", [GPU, CPU]),
        _set("state", "load", 0.9),
        _set("state", "free_memory", 1),
        _set("session", {"id": "s-1", "side": "B"}),
        lambda _, config: config.update(name="a", description="b", variants=[], sweeps=[], threads=2),
        lambda _, config: config["measure"].update(budget=60.0, precision=0.01, rounds={"min": 9}),
    ],
)
def test_what_differs_by_nature_or_in_the_cases_is_left_out(edit: Edit) -> None:
    assert _lines(edit) == []


def test_what_the_worker_says_of_its_version_stands_for_what_is_installed() -> None:
    def update(environment: dict[str, Any], _: dict[str, Any]) -> None:
        environment["software"]["torch"] = "2.13.0"
        environment["backends"]["torch"]["torch"] = "2.13.0+cpu"

    assert _lines(update) == ["library torch: 2.12.0+cpu → 2.13.0+cpu"]


def test_threads_that_follow_from_the_runs_are_told_once() -> None:
    def one_thread(environment: dict[str, Any], config: dict[str, Any]) -> None:
        environment["threads"] = config["threads"] = 1
        environment["backends"]["torch"]["threads"] = environment["backends"]["numpy"]["blas threads"] = "1"

    assert _lines(one_thread) == ["threads: 2 → 1"]


def test_two_busy_machines_do_not_differ_in_their_load() -> None:
    busy = _second(_set("state", "load", 4.0))
    assert differences(busy, _second(_set("state", "load", 8.0))) == []


def test_a_run_without_any_facts_lacks_them_all() -> None:
    bare = run_of([], environment={}, config=CONFIG)
    assert list(map(str, differences(bare, FIRST))) == [
        "machine hostname: absent → bench",
        "machine operating system: absent → Linux-6.1",
        "device cpu: absent → A CPU",
        "device cuda:0: absent → A GPU",
        "library numpy: absent → 2.4.6",
        "library numpy backend: absent → used",
        "library python: absent → 3.12.1",
        "library torch: absent → 2.12.0",
        "library torch backend: absent → used",
        "threads: absent → 2",
        "clock governor: absent → powersave",
    ]


def _everything(environment: dict[str, Any], config: dict[str, Any]) -> None:
    config["seed"] = 1
    environment["state"]["governor"] = "performance"
    environment["threads"] = 1
    environment["backends"]["torch"] |= {"float32 matmul precision": "high", "onednn": "3.6"}
    environment["machine"]["devices"][1] |= {"driver": "560.35", "model": "B GPU"}
    environment["machine"]["hostname"] = "other"


def test_differences_come_in_the_order_of_their_kinds() -> None:
    assert tuple(difference.kind for difference in differences(FIRST, _second(_everything))) == KINDS


def test_the_kinds_under_test_are_left_out() -> None:
    found = differences(FIRST, _second(_everything), ignoring={"device", "machine", "driver"})
    assert tuple(difference.kind for difference in found) == KINDS[3:]


def test_a_value_over_two_lines_stays_on_one() -> None:
    (line,) = _lines(_set("machine", "hostname", "a\nb"))
    assert line == "machine hostname: bench → a b"


@given(first=runs(), second=runs())
def test_any_two_runs_differ_the_other_way_round_in_the_same(first: Run, second: Run) -> None:
    there, back = differences(first, second), differences(second, first)
    assert back == [Difference(d.kind, d.name, d.second, d.first) for d in there]
    assert all(d.first != d.second for d in there)


@pytest.mark.parametrize("odd", [None, 1, "text", [], [1, None], {"devices": 3}, {"cpu": [1]}])
@pytest.mark.parametrize("section", ["machine", "software", "backends", "threads", "state", "session"])
def test_a_section_that_is_not_what_it_should_be_raises_nothing(section: str, odd: object) -> None:
    assert isinstance(differences(FIRST, _second(_set(section, odd))), list)


def test_what_is_set_on_a_board_is_told_and_its_datasheet_is_not() -> None:
    lines = _lines(_set("state", "boards", {"cuda:0": {"ecc": "off", "power limit w": 250.0}}))
    assert lines == [
        "clock boards cuda:0 ecc: absent → off",
        "clock boards cuda:0 power limit w: absent → 250",
    ]
    assert _lines(_set("datasheets", {"cuda:0": {"flops": {"float32": 1e13}, "source": "a sheet"}})) == []
