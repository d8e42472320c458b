"""A config's forms, defaults and overrides."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dlbench.errors import ConfigError
from dlbench.plan.config import Config, MeasurePolicy, load_config
from dlbench.plan.sweep import cases, count

KNOWN = {"numba": ("naive",), "numpy": ("library", "native", "im2col"), "torch": ("library", "native")}
HEAD = "variants: [torch:library]\nsweeps:\n"
PLAIN = HEAD + "  - op: matmul\n    params: {m: 2, n: 3, k: 4}\n"
Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def writer(text: str) -> Path:
        path = tmp_path / "my config.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return writer


def shapes(config: Config) -> list[str]:
    return [case.problem.op.label() for case in cases(config, ("cpu",), KNOWN)]


def test_the_name_is_the_files_stem_with_a_dash_for_what_no_name_has(write: Write) -> None:
    assert load_config(write(PLAIN)).name == "my-config"


def test_what_is_not_written_has_its_default(write: Write) -> None:
    config = load_config(write(PLAIN))
    sweep = config.sweeps[0]
    assert (sweep.dtype, sweep.direction, sweep.cache, sweep.data) == (
        ("float32",),
        ("forward",),
        ("hot",),
        ("normal",),
    )
    assert (config.seed, config.threads, config.devices, config.baseline) == (0, None, ("all",), None)
    assert config.measure == MeasurePolicy()
    assert (config.measure.budget, config.measure.precision, config.measure.timeout) == (None, None, 60.0)


def test_durations_and_fractions_are_read_in_units(write: Write) -> None:
    text = PLAIN + "measure: {budget: 1m30s, precision: 5%, visit: 150ms, rounds: {min: 2, max: 4}}\n"
    measure = load_config(write(text)).measure
    assert (measure.budget, measure.precision, measure.visit) == (90.0, 0.05, 0.15)
    assert (measure.rounds.min, measure.rounds.max) == (2, 4)


@pytest.mark.parametrize(
    ("budget", "precision", "expected"),
    [
        (7.0, None, (7.0, None)),
        (None, 0.01, (None, 0.01)),
        (7.0, 0.01, (7.0, 0.01)),
        (None, None, (60.0, 0.05)),
    ],
)
def test_limits_given_stand_in_the_place_of_the_configs_own(
    write: Write, budget: float | None, precision: float | None, expected: tuple[float | None, float | None]
) -> None:
    config = load_config(write(PLAIN + "measure: {budget: 1m, precision: 5%}\n"))
    changed = config.with_limits(budget=budget, precision=precision)
    assert (changed.measure.budget, changed.measure.precision) == expected
    assert (config.measure.budget, config.measure.precision) == (60.0, 0.05)


def test_a_config_survives_a_round_trip_through_json(write: Write) -> None:
    config = load_config(write(PLAIN + "    cache: [hot, cold]\n"))
    assert (
        Config.model_validate_json(config.model_dump_json(by_alias=True)).model_dump() == config.model_dump()
    )


def test_a_range_with_factor_and_one_with_step_include_their_end(write: Write) -> None:
    text = (
        HEAD
        + "  - op: copy\n    params: {n: {from: 4, to: 64, factor: 4}}\n"
        + "  - op: copy\n    params: {n: {from: 5, to: 9, step: 2}}\n"
    )
    assert [
        case.problem.op.model_dump()["n"] for case in cases(load_config(write(text)), ("cpu",), KNOWN)
    ] == [4, 16, 64, 5, 7, 9]


def test_a_range_stops_before_an_end_that_it_does_not_meet(write: Write) -> None:
    text = HEAD + "  - op: copy\n    params: {n: {from: 5, to: 10, step: 2}}\n"
    assert count(load_config(write(text)), ("cpu",)) == 3


@pytest.mark.parametrize("zip_", ["[m, n]", "[[m, n]]"])
def test_zipped_parameters_go_together_and_the_others_are_crossed(write: Write, zip_: str) -> None:
    text = HEAD + f"  - op: matmul\n    params: {{m: [1, 2], n: [3, 4], k: [5, 6]}}\n    zip: {zip_}\n"
    found = [case.problem.op.model_dump() for case in cases(load_config(write(text)), ("cpu",), KNOWN)]
    assert [(p["m"], p["n"], p["k"]) for p in found] == [(1, 3, 5), (1, 3, 6), (2, 4, 5), (2, 4, 6)]


def test_the_last_parameter_written_changes_fastest(write: Write) -> None:
    text = HEAD + "  - op: softmax\n    params: {cols: [1, 2], rows: [3, 4]}\n"
    found = [case.problem.op.model_dump() for case in cases(load_config(write(text)), ("cpu",), KNOWN)]
    assert [(p["cols"], p["rows"]) for p in found] == [(1, 3), (1, 4), (2, 3), (2, 4)]


def test_problems_are_taken_one_by_one(write: Write) -> None:
    text = HEAD + "  - op: matmul\n    problems: [{m: 1, n: 2, k: 3}, {m: 4, n: 5, k: 6, trans_a: true}]\n"
    found = [case.problem.op.model_dump() for case in cases(load_config(write(text)), ("cpu",), KNOWN)]
    assert [(p["m"], p["trans_a"]) for p in found] == [(1, False), (4, True)]


def test_a_repetition_in_a_list_is_dropped_but_one_and_true_differ(write: Write) -> None:
    text = HEAD + "  - op: [softmax, softmax]\n    params: {rows: [2, 2, 3], cols: 4}\n"
    assert count(load_config(write(text)), ("cpu",)) == 2
    bad = HEAD + "  - op: copy\n    params: {n: [1, true]}\n"
    with pytest.raises(ConfigError, match="a whole number is wanted, not `true`"):
        load_config(write(bad))


def test_where_filters_by_layer_and_by_parameters_the_ops_defaults_included(write: Write) -> None:
    text = (
        HEAD
        + "  - op: conv2d\n    suite: resnet50\n    where: {layer: 'res[23]*', c: [64, 128], stride: 1}\n"
    )
    layers = [case.layer for case in cases(load_config(write(text)), ("cpu",), KNOWN)]
    assert layers == ["res2a_branch1", "res2a_branch2a", "res2a_branch2b", "res3a_branch2c", "res3b_branch2b"]


def test_params_cross_and_override_a_suite(write: Write) -> None:
    text = HEAD + "  - op: conv2d\n    suite: resnet50\n    where: {layer: conv1}\n    params: {n: [1, 8]}\n"
    assert shapes(load_config(write(text))) == [
        "1×3×224×224 → 64, 7×7 /2 pad 3",
        "8×3×224×224 → 64, 7×7 /2 pad 3",
    ]


def test_an_override_of_a_sweeps_key_changes_every_sweep(write: Write) -> None:
    path = write(PLAIN + "  - op: softmax\n    params: {rows: 1, cols: 2}\n")
    config = load_config(path, ["dtype=[float64, float32]", "cache=cold"])
    assert [(sweep.dtype, sweep.cache) for sweep in config.sweeps] == [
        (("float64", "float32"), ("cold",))
    ] * 2


def test_an_override_with_dots_reaches_inside(write: Write) -> None:
    config = load_config(
        write(PLAIN), ["measure.budget=1m", "measure.rounds.max=4", "params.n=8", "params.batch=2"]
    )
    assert (config.measure.budget, config.measure.rounds.max) == (60.0, 4)
    assert shapes(config) == [shapes(load_config(write(PLAIN.replace("n: 3", "n: 8, batch: 2"))))[0]]


@pytest.mark.parametrize("key", ["variants", "baseline", "devices"])
def test_an_override_of_what_config_and_sweep_both_have_leaves_no_sweep_its_own(
    write: Write, key: str
) -> None:
    own = {"variants": "[numpy:library]", "baseline": "numpy:library", "devices": "cpu"}[key]
    new = {"variants": "torch:native", "baseline": "torch:native", "devices": "cuda:0"}[key]
    config = load_config(write(PLAIN + f"    {key}: {own}\n"), [f"{key}={new}"])
    assert getattr(config.sweeps[0], key) is None
    assert getattr(config, key) in (new, (new,))


def test_the_last_of_two_overrides_holds(write: Write) -> None:
    assert load_config(write(PLAIN), ["seed=1", "seed=2"]).seed == 2


def test_a_file_named_by_a_path_is_preferred_to_nothing_and_a_bare_name_is_built_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conv").mkdir()
    assert load_config("conv").name == "conv"
    (tmp_path / "conv.yaml").write_text(PLAIN + "description: mine\n", encoding="utf-8")
    assert load_config("conv.yaml").description == "mine"
