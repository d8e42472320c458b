"""The exponent with which each variant's time grows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from rich.console import Console
from runs import failed, measured, record, run_of

from dlbench.analysis.scaling import Scaling, scalings
from dlbench.report.scaling import print_scalings
from dlbench.results.measurement import CaseRecord, Measurement, Run

FIT = {"sweeps": [{"op": ["network_gradient"], "fit": "parameters"}, {"op": ["matmul"], "fit": None}]}


def case(variant: str, width: int, **changes: Any) -> CaseRecord:
    params = json.dumps({"width": width, "batch": 8})
    return record(variant, op="network_gradient", params=params, parameters=2 * width**2, **changes)


def grown(variant: str, exponent: float, widths: tuple[int, ...] = (2, 4, 8, 16)) -> list[Measurement]:
    """A variant whose time is 1 µs · parameters^exponent."""
    cases = [case(variant, width) for width in widths]
    return [measured(one, 1e-6 * one.parameters**exponent) for one in cases]


def exponents(run: Run) -> dict[str, float | None]:
    return {one.implementation: one.law and round(one.law.exponent, 6) for one in scalings(run)}


def test_a_planted_exponent_is_found_for_each_variant() -> None:
    run = run_of([*grown("torch:vjp", 1.0), *grown("torch:jvp", 2.0)], config=FIT)
    assert exponents(run) == {"torch:vjp": 1.0, "torch:jvp": 2.0}
    (first, _) = scalings(run)
    assert first.sizes == (8.0, 32.0, 128.0, 512.0)
    assert first.law is not None
    assert [first.law.low, first.law.high] == pytest.approx([1.0, 1.0])


def test_a_run_whose_config_asks_for_no_fit_has_none() -> None:
    assert scalings(run_of(grown("torch:vjp", 1.0))) == []


def test_only_the_ops_of_the_sweep_are_fitted() -> None:
    others = [measured(record("torch:library", op="matmul", params=f'{{"m": {m}}}'), 1e-3) for m in (1, 2, 4)]
    assert exponents(run_of([*grown("torch:vjp", 1.0), *others], config=FIT)) == {"torch:vjp": 1.0}


def test_a_fit_over_a_parameter_keeps_the_other_parameters_apart() -> None:
    config = {"sweeps": [{"op": ["matmul"], "fit": "n"}]}
    found = scalings(
        run_of(
            [
                measured(record("a:b", op="matmul", params=json.dumps({"m": m, "n": n})), 1e-6 * m * n**power)
                for m, power in ((1, 1.0), (2, 3.0))
                for n in (2, 4, 8)
            ],
            config=config,
        )
    )
    assert [round(one.law.exponent, 6) for one in found if one.law] == [1.0, 3.0]


def test_cases_without_a_time_are_left_out_and_two_sizes_give_no_exponent() -> None:
    run = run_of([*grown("torch:jvp", 2.0, (2, 4)), failed(case("torch:jvp", 8))], config=FIT)
    (found,) = scalings(run)
    assert (found.law, found.sizes) == (None, (8.0, 32.0))


def test_what_has_no_weights_is_not_fitted_over_them() -> None:
    plain = [
        measured(record("torch:vjp", op="network_gradient", params=f'{{"n": {n}}}'), 1e-3) for n in (1, 2, 3)
    ]
    assert scalings(run_of(plain, config=FIT)) == []


def printed(found: list[Scaling]) -> str:
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        print_scalings(console, found)
    return capture.get()


def test_the_exponents_are_printed_with_their_intervals_and_sizes() -> None:
    run = run_of([*grown("torch:vjp", 1.0), *grown("numpy:jvp", 2.0, (2, 4))], config=FIT)
    assert printed(scalings(run)) == (
        "\n"
        "Time of network_gradient as a power of parameters · float32 · forward · hot · NCHW · cpu\n"
        "  torch:vjp  1.00 (1.00 to 1.00), over 8 to 512 parameters\n"
        "  numpy:jvp  no exponent: 2 sizes have a time, a fit takes 3\n"
    )


def test_nothing_is_printed_where_nothing_was_fitted() -> None:
    assert printed([]) == ""
