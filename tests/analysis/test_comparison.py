from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from compared import compared, layers, named, row, taken
from runs import failed, record, steady

from dlbench.analysis.comparison import Comparison
from dlbench.analysis.floor import Floors
from dlbench.analysis.regression import find_regression
from dlbench.errors import SelectionError, UserError
from dlbench.results.compared import COMPARED, CONTRACT
from dlbench.results.measurement import Measurement, Run

NAIVE, LIBRARY = record("numba:naive"), record("torch:library")
IN_TURN = {"id": "s1", "kind": "interleaved"}


def _gpu(model: str, hostname: str = "bench", *names: str) -> dict[str, object]:
    devices = [{"name": name, "model": model} for name in names or ("cuda:0",)]
    return {"hostname": hostname, "devices": devices}


def _pair(
    before: float, after: float, rounds: int = 5, spread: float = 0.01, **options: object
) -> Comparison:
    """Return the comparison of one case that took so long, then so long."""
    first = taken(NAIVE, before, rounds=rounds, spread=spread)
    second = taken(NAIVE, after, rounds=rounds, spread=spread, seed=1)
    return compared(named("a", [first]), named("b", [second]), **options)


class TestRatio:
    def test_it_is_the_bases_time_over_the_others(self) -> None:
        found = row(_pair(2e-3, 1e-3))
        assert found["ratio"] == pytest.approx(2.0)
        assert found["base_us"] == pytest.approx(2000)
        assert found["other_us"] == pytest.approx(1000)
        assert (found["base"], found["other"]) == ("a", "b")
        assert found["base_rounds"] == found["other_rounds"] == 5

    def test_its_interval_is_welchs_over_rounds(self) -> None:
        found = row(_pair(2e-3, 1e-3))
        # Two sides of 5 rounds with a spread of 1 %: Student at 8 degrees of freedom 2.306.
        half = 2.306 * 0.01 * np.sqrt(2 / 5)
        assert np.log(found["ratio_high"] / 2) == pytest.approx(half, rel=1e-3)
        assert np.log(2 / found["ratio_low"]) == pytest.approx(half, rel=1e-3)

    def test_runs_of_one_session_are_compared_turn_by_turn(self) -> None:
        """A spell of double time that begins within the round hits a turn of one side only, and does not count."""
        fast, slow = 1e-3, 2e-3
        before = (fast,) * 4 + (slow,) * 9 + (slow,) * 4
        after = (fast,) * 4 + (fast,) * 14 + (slow,) * 4
        runs = []
        for run_id, samples, turns in (("a", before, [4, 9, 4]), ("b", after, [4, 14, 4])):
            visits = tuple(
                steady(1.0, number, samples=samples, conditions={"turns": turns}) for number in range(1, 6)
            )
            runs.append(named(run_id, [Measurement(NAIVE, visits)], session=IN_TURN))
        assert row(compared(*runs))["ratio"] == pytest.approx(1.0)
        apart = [replace(run, environment={**run.environment, "session": {}}) for run in runs]
        assert row(compared(*apart))["ratio"] == pytest.approx(1.0)  # by the low quantile
        unknown = [
            replace(run, measurements=(Measurement(NAIVE, tuple(
                replace(visit, conditions={}) for visit in run.measurements[0].visits
            )),))
            for run in runs
        ]  # fmt: skip
        assert row(compared(*unknown))["ratio"] == pytest.approx(2.0)  # of the rounds' medians

    def test_a_change_is_seen_in_every_turn(self) -> None:
        level = (1.0, 2.0, 1.0, 1.5)
        runs = []
        for run_id, seconds in (("a", 1.1e-3), ("b", 1e-3)):
            samples = tuple(seconds * one for one in level for _ in range(3))
            visits = tuple(
                steady(1.0, number, samples=samples, conditions={"turns": [3] * 4}) for number in range(1, 6)
            )
            runs.append(named(run_id, [Measurement(NAIVE, visits)], session=IN_TURN))
        assert row(compared(*runs))["ratio"] == pytest.approx(1.1)

    @pytest.mark.parametrize(("device", "expected"), [("cpu", 1e-3), ("cuda:0", 3e-3)])
    def test_a_round_is_its_low_quantile_on_a_cpu_and_its_median_elsewhere(
        self, device: str, expected: float
    ) -> None:
        case = record(device=device)
        samples = (1e-3,) * 10 + (3e-3,) * 15
        visits = tuple(replace(visit, samples=samples) for visit in taken(case, 1.0).visits)
        comparison = compared(named("a", [Measurement(case, visits)]), named("b", [taken(case, 1e-3)]))
        assert row(comparison)["base_us"] == pytest.approx(expected * 1e6)

    def test_the_columns_begin_with_the_contract(self) -> None:
        frame = _pair(2e-3, 1e-3).frame
        assert list(frame.columns[:13]) == [
            "op", "problem", "dtype", "direction", "cache", "backend", "variant", "device",
            "ratio", "ratio_low", "ratio_high", "verdict", "reason",
        ]  # fmt: skip
        assert list(frame.columns) == [column.name for column in COMPARED]
        assert [column.name for column in CONTRACT] == list(frame.columns[:13])


class TestPairing:
    def _drifting(self, *sides: dict[str, object]) -> Comparison:
        """Return the comparison of two runs 1 % apart whose rounds drift alike by 10 %."""
        first, second = (taken(NAIVE, time, spread=0.1, rounds=8, seed=3) for time in (1.01e-3, 1e-3))
        return compared(named("a", [first], **sides[0]), named("b", [second], **sides[1]))

    def test_runs_that_took_turns_are_compared_round_by_round(self) -> None:
        comparison = self._drifting({"session": IN_TURN}, {"session": IN_TURN})
        found = row(comparison)
        assert comparison.paired
        assert found["ratio"] == pytest.approx(1.01)
        assert found["ratio_high"] - found["ratio_low"] < 0.002
        assert found["floor"] == 0.02

    @pytest.mark.parametrize(
        "session", [{"id": "s2", "kind": "interleaved"}, {"id": "s1", "kind": "separate"}, {}]
    )
    def test_other_runs_are_not(self, session: dict[str, object]) -> None:
        comparison = self._drifting({"session": IN_TURN}, {"session": session})
        found = row(comparison)
        assert not comparison.paired
        assert found["ratio_high"] - found["ratio_low"] > 0.1
        assert found["floor"] == 0.05

    def test_rounds_that_one_side_lacks_do_not_count(self) -> None:
        first = taken(NAIVE, 1e-3, rounds=[1, 2, 3, 4, 5, 7])
        second = taken(NAIVE, 1e-3, rounds=[2, 3, 4, 5, 6])
        found = row(compared(named("a", [first], session=IN_TURN), named("b", [second], session=IN_TURN)))
        assert (found["base_rounds"], found["other_rounds"]) == (4, 4)

    def test_variants_of_one_run_are_paired(self) -> None:
        measurements = [
            taken(case, time, spread=0.1, seed=3) for case, time in ((NAIVE, 2e-3), (LIBRARY, 1e-3))
        ]
        found = row(compared(named("a", measurements), by="variant"))
        assert found["ratio_high"] - found["ratio_low"] < 0.01


class TestVerdict:
    def test_what_is_significant_and_beyond_the_floor_has_changed(self) -> None:
        assert row(_pair(1.2e-3, 1e-3))["verdict"] == "faster"
        assert row(_pair(1e-3, 1.2e-3))["verdict"] == "slower"
        assert row(_pair(1e-3, 1.2e-3))["reason"] == ""

    def test_an_interval_within_the_floor_is_the_same(self) -> None:
        found = row(_pair(1e-3, 1.001e-3))
        assert (found["verdict"], found["reason"]) == ("same", "")

    def test_a_significant_change_below_the_floor_is_the_same(self) -> None:
        found = row(_pair(1.045e-3, 1e-3))
        assert (found["verdict"], found["reason"]) == ("same", "4.5 % is below the noise floor of 5 %")

    def test_a_measured_floor_is_this_machines(self) -> None:
        floors = Floors(separate=(0.08,) * 5, separate_comparisons=240)
        found = row(_pair(1e-3, 1.075e-3, floors=floors))
        assert found["reason"] == "7.5 % is below this machine's noise floor of 8 %"
        assert found["floor"] == 0.08

    def test_a_wide_interval_is_inconclusive(self) -> None:
        found = row(_pair(1e-3, 1.01e-3, spread=0.05))
        # Student at 8 degrees of freedom: 2.306 · 5 % · sqrt(2/5) = 7.3 %.
        assert (found["verdict"], found["reason"]) == ("inconclusive", "±7.3 %: more rounds would tell")

    def test_one_of_many_rows_needs_more_to_be_significant(self) -> None:
        before = {f"l{number}": 1e-3 for number in range(120)}
        comparison = compared(
            named("a", [taken(record(layer=name), 1e-3, spread=0.05) for name in before]),
            named(
                "b",
                [
                    taken(record(layer=name), 1e-3 * (1.08 if name == "l0" else 1), spread=0.05, seed=1)
                    for name in before
                ],
            ),
        )
        found = row(comparison, layer="l0")
        assert found["ratio_high"] < 1
        assert found["verdict"] == "inconclusive"
        assert found["reason"] == "not significant among 120 rows (Benjamini-Hochberg)"

    def test_three_rounds_are_too_few_however_large_the_change(self) -> None:
        comparison = _pair(1e-3, 2e-3, rounds=3)
        found = row(comparison)
        assert found["ratio"] == pytest.approx(0.5)
        assert found["ratio_high"] < 0.6
        assert found["verdict"] == "inconclusive"
        assert found["reason"] == "too few rounds for a verdict: at least 4 (3 and 3 here)"
        (note,) = comparison.notes
        assert note == (
            "no row has enough rounds for a verdict: at least 4 (3 and 3 here); "
            "`dlbench run CONFIG --set measure.rounds.min=4` measures more"
        )

    def test_so_are_three_shared_ones(self) -> None:
        first, second = taken(NAIVE, 1e-3, rounds=[1, 2, 3, 4]), taken(NAIVE, 1e-3, rounds=[2, 3, 4, 5])
        found = row(compared(named("a", [first], session=IN_TURN), named("b", [second], session=IN_TURN)))
        assert found["reason"] == "too few rounds for a verdict: at least 4 (3 shared here)"

    def test_one_round_has_a_ratio_but_no_interval(self) -> None:
        found = row(_pair(1e-3, 2e-3, rounds=1))
        assert found["ratio"] == pytest.approx(0.5)
        assert found["ratio_low"] is None

    def test_rows_with_too_few_rounds_do_not_count_among_the_tested(self) -> None:
        short = [taken(record(layer=f"s{number}"), 1e-3, rounds=2) for number in range(500)]
        comparison = compared(named("a", [*layers(l=1.2e-3), *short]), named("b", [*layers(l=1e-3), *short]))
        assert row(comparison, layer="l")["verdict"] == "faster"
        assert comparison.notes == ()

    def test_noise_is_mentioned_and_changes_no_verdict(self) -> None:
        first = taken(NAIVE, 1.2e-3, verdict="noisy", reason="two modes")
        comparison = compared(named("a", [first]), named("b", [taken(NAIVE, 1e-3, seed=1)]))
        found = row(comparison)
        assert (found["verdict"], found["reason"]) == ("faster", "A was noisy: two modes")
        assert (found["base_verdict"], found["other_verdict"]) == ("noisy", "ok")

    def test_noise_comes_after_the_verdicts_own_reason(self) -> None:
        noisy = [taken(NAIVE, 1e-3, rounds=2, verdict="noisy", reason="two modes") for _ in range(2)]
        found = row(compared(named("a", noisy[:1]), named("b", noisy[1:])))
        assert found["reason"] == (
            "too few rounds for a verdict: at least 4 (2 and 2 here); "
            "A was noisy: two modes; B was noisy: two modes"
        )

    def test_a_false_alarm_is_rare_over_many_rows_without_a_change(self) -> None:
        floors = Floors(separate=(0.0,) * 5)
        rng = np.random.default_rng(0)
        runs = [
            named(
                name,
                [taken(record(layer=f"l{n}"), 1e-3 * float(np.exp(0.004 * rng.standard_normal())), seed=n + start)
                 for n in range(300)],
            )
            for name, start in (("a", 0), ("b", 1000))
        ]  # fmt: skip
        verdicts = compared(*runs, floors=floors).frame["verdict"]
        assert verdicts.isin(["faster", "slower"]).sum() == 0


class TestFailures:
    def test_a_case_that_fails_on_one_side_has_no_ratio_and_says_why(self) -> None:
        comparison = compared(
            named("a", layers(l=1e-3, m=1e-3)),
            named("b", [failed(record(layer="l"), "crashed", "SIGSEGV"), *layers(m=1e-3)]),
        )
        found = row(comparison, layer="l")
        assert found["ratio"] is found["ratio_low"] is found["other_us"] is found["floor"] is None
        assert found["base_us"] == pytest.approx(1000)
        assert (found["verdict"], found["reason"]) == ("inconclusive", "B: crashed: SIGSEGV")

    def test_one_that_fails_on_both_names_both(self) -> None:
        broken = [failed(record(layer="l"), "crashed", "SIGSEGV"), *layers(m=1e-3)]
        found = row(compared(named("a", broken), named("b", broken)), layer="l")
        assert found["reason"] == "A: crashed: SIGSEGV; B: crashed: SIGSEGV"

    def test_one_that_failed_after_some_rounds_has_failed(self) -> None:
        late = taken(NAIVE, 1e-3, verdict="incorrect", reason="wrong in round 7")
        found = row(compared(named("a", [taken(NAIVE, 1e-3)]), named("b", [late])))
        assert found["ratio"] is None
        assert found["reason"] == "B: incorrect: wrong in round 7"

    def test_one_that_was_not_reached_says_so(self) -> None:
        skipped = Measurement(NAIVE, (), "unconverged", "the run has not ended, 0 rounds so far")
        comparison = compared(named("a", [taken(NAIVE, 1e-3)]), replace(named("b", [skipped]), finished=""))
        assert row(comparison)["reason"] == "B: unconverged: the run has not ended, 0 rounds so far"
        assert comparison.notes == ("b is unfinished",)


class TestMeans:
    def test_the_geometric_mean_leaves_out_what_has_no_ratio(self) -> None:
        comparison = compared(
            named("a", [*layers(l=4e-3, m=1e-3), failed(record(layer="n")), *layers(o=1.0)]),
            named("b", [*layers(l=1e-3, m=1e-3, n=1.0), failed(record(layer="o"))]),
        )
        (mean,) = comparison.means
        assert (mean.other, mean.rows) == ("b", 2)
        assert mean.ratio == pytest.approx(2.0)
        assert 1.97 < mean.low < 2.0 < mean.high < 2.03

    def test_of_one_row_it_is_that_row(self) -> None:
        comparison = _pair(2e-3, 1e-3)
        (mean,), found = comparison.means, row(comparison)
        assert (mean.ratio, mean.low, mean.high) == pytest.approx(
            (found["ratio"], found["ratio_low"], found["ratio_high"])
        )

    def test_of_one_paired_row_too(self) -> None:
        measurements = [taken(NAIVE, 2e-3), taken(LIBRARY, 1e-3, seed=1)]
        comparison = compared(named("a", measurements), by="variant")
        (mean,), found = comparison.means, row(comparison)
        assert (mean.low, mean.high) == pytest.approx((found["ratio_low"], found["ratio_high"]))

    def test_without_a_ratio_there_is_none(self) -> None:
        assert compared(named("a", [failed(NAIVE)]), named("b", [failed(NAIVE)])).means == ()


class TestSeveral:
    def test_each_other_run_is_compared_with_the_first(self) -> None:
        comparison = compared(
            named("a", layers(l=2e-3)), named("b", layers(l=1e-3)), named("c", layers(l=4e-3))
        )
        assert row(comparison, other="b")["ratio"] == pytest.approx(2.0)
        assert row(comparison, other="c")["ratio"] == pytest.approx(0.5)
        assert [(mean.other, mean.rows) for mean in comparison.means] == [("b", 1), ("c", 1)]
        assert (comparison.base, comparison.others) == ("a", ("b", "c"))
        assert [side.label for side in comparison.sides] == ["A", "B", "C"]

    def test_what_one_side_lacks_is_listed(self) -> None:
        comparison = compared(
            named("a", layers(l=1e-3, m=1e-3)), named("b", layers(l=1e-3, n=1e-3)), named("c", layers(m=1e-3))
        )
        listed = comparison.missing[["side", "not_in", "layer"]].to_numpy().tolist()
        assert listed == [["a", "b", "m"], ["b", "a", "n"], ["a", "c", "l"]]

    def test_cases_that_differ_in_any_field_do_not_match(self) -> None:
        fields = ("params", "dtype", "direction", "layout", "cache", "data", "suite", "layer", "device")
        others = [taken(record(**{name: "x"}), 1e-3) for name in fields]
        comparison = compared(named("a", [taken(NAIVE, 1e-3)]), named("b", [taken(NAIVE, 1e-3), *others]))
        assert len(comparison.frame) == 1
        assert len(comparison.missing) == len(fields)

    def test_keys_of_another_machine_or_version_do_not_matter(self) -> None:
        first, second = (taken(record(key=key, group=key), 1e-3) for key in ("one", "two"))
        assert len(compared(named("a", [first]), named("b", [second])).frame) == 1


def test_rows_are_sorted_by_what_matters() -> None:
    before = layers(s1=1e-3, s2=1e-3, f1=1e-3, f2=1e-3, x=1e-3, same=1e-3)
    after = layers(s1=1.1e-3, s2=1.3e-3, f1=0.9e-3, f2=0.7e-3)
    wide = [taken(record(layer="wide"), 1e-3, spread=0.1, seed=seed) for seed in (0, 1)]
    both = failed(record(layer="both"))
    comparison = compared(
        named("a", [*before, wide[0], both]),
        named("b", [*after, failed(record(layer="x")), *layers(same=1e-3), wide[1], both]),
    )
    assert comparison.frame["layer"].tolist() == ["s2", "s1", "f2", "f1", "x", "wide", "same", "both"]


class TestBy:
    def test_variants_are_compared_with_the_configs_baseline(self) -> None:
        run = named("a", [taken(LIBRARY, 1e-3), taken(NAIVE, 2e-3)])
        comparison = compared(run, by="variant")
        found = row(comparison)
        assert (comparison.base, comparison.others) == ("numba:naive", ("torch:library",))
        assert found["ratio"] == pytest.approx(2.0)
        assert (found["backend"], found["variant"]) == ("numba → torch", "naive → library")
        assert (found["dtype"], found["device"]) == ("float32", "cpu")

    def test_backends_are_compared_variant_by_variant(self) -> None:
        names = ("torch:library", "torch:native", "cupy:library", "cupy:naive")
        measurements = [taken(record(name, baseline=""), 1e-3) for name in names]
        comparison = compared(named("a", measurements), by="backend")
        found = row(comparison)
        assert (found["backend"], found["variant"]) == ("torch → cupy", "library")
        assert comparison.missing["variant"].tolist() == ["native", "naive"]

    def test_dtypes_are_compared_within_a_run(self) -> None:
        measurements = [
            taken(record(dtype=name), time) for name, time in (("float32", 1e-3), ("float64", 2e-3))
        ]
        comparison = compared(named("a", measurements), by="dtype")
        found = row(comparison)
        assert found["dtype"] == "float32 → float64"
        assert found["ratio"] == pytest.approx(0.5)
        assert comparison.paired
        assert comparison.differences == {}

    @pytest.mark.parametrize(
        ("by", "first", "second", "told"),
        [("layout", "NCHW", "NHWC", "NCHW → NHWC"), ("flags", "", "graph", "none → graph")],
    )
    def test_layouts_and_flags_of_one_run(self, by: str, first: str, second: str, told: str) -> None:
        cases = [record(**{by: first}, key="a"), record(**{by: second}, key="b")]
        comparison = compared(
            named("a", [taken(case, time) for case, time in zip(cases, (2e-3, 1e-3), strict=True)]), by=by
        )
        found = row(comparison)
        assert found[by] == told
        assert found["ratio"] == pytest.approx(2.0)

    def test_devices_are_called_by_their_models(self) -> None:
        case = record("torch:library", device="cuda:0")
        comparison = compared(
            named("a", [taken(case, 2e-3)], machine=_gpu("A100")),
            named("b", [taken(case, 1e-3)], machine=_gpu("H100")),
            by="device",
        )
        found = row(comparison)
        assert (comparison.base, comparison.others) == ("A100", ("H100",))
        assert (found["device"], found["ratio"]) == ("A100 → H100", pytest.approx(2.0))
        assert not comparison.paired

    def test_a_model_on_two_hosts_or_twice_on_one_is_told_apart(self) -> None:
        first = [taken(record(device=f"cuda:{number}"), 1e-3) for number in (0, 1)]
        comparison = compared(
            named("a", first, machine=_gpu("H100", "one", "cuda:0", "cuda:1")),
            named("b", first[:1], machine=_gpu("H100", "two")),
            by="device",
        )
        assert [side.name for side in comparison.sides] == [
            "H100 on one cuda:0", "H100 on one cuda:1", "H100 on two",
        ]  # fmt: skip
        assert [side.label for side in comparison.sides] == ["A", "B", "C"]

    def test_a_device_that_the_environment_does_not_know_keeps_its_name(self) -> None:
        measurements = [taken(record(device=name), 1e-3) for name in ("cpu", "cuda:0")]
        comparison = compared(named("a", measurements), by="device")
        assert (comparison.base, comparison.others) == ("A CPU", ("cuda:0",))

    def test_the_rounds_of_two_runs_on_one_side_are_pooled(self) -> None:
        case = record(device="cuda:0")
        runs = [
            named("a1", [taken(case, 2e-3, rounds=3)], machine=_gpu("A100")),
            named("a2", [taken(case, 2e-3, rounds=3, seed=1)], machine=_gpu("A100")),
            named("b", [taken(case, 1e-3, rounds=5)], machine=_gpu("H100")),
        ]
        found = row(compared(*runs, by="device"))
        assert (found["base_rounds"], found["other_rounds"]) == (6, 5)
        assert found["verdict"] == "faster"

    def test_a_side_has_failed_only_if_all_of_its_runs_have(self) -> None:
        case = record(device="cuda:0")
        runs = [
            named("a1", [failed(case, "crashed", "SIGSEGV")], machine=_gpu("A100")),
            named("a2", [taken(case, 2e-3)], machine=_gpu("A100")),
            named("b", [taken(case, 1e-3)], machine=_gpu("H100")),
        ]
        found = row(compared(*runs, by="device"))
        assert (found["verdict"], found["reason"], found["base_rounds"]) == ("faster", "", 5)

    def test_two_variants_in_two_runs_are_paired_within_each(self) -> None:
        runs = [
            named(name, [taken(NAIVE, 2e-3 * drift, rounds=3), taken(LIBRARY, 1e-3 * drift, rounds=3)])
            for name, drift in (("a", 1.0), ("b", 1.5))
        ]
        comparison = compared(*runs, by="variant")
        found = row(comparison)
        assert (found["base_rounds"], found["verdict"]) == (6, "faster")
        assert found["ratio_high"] - found["ratio_low"] < 0.01
        assert comparison.differences == {}


class TestDifferences:
    def test_what_else_differs_is_told_for_each_other_run(self) -> None:
        comparison = compared(
            named("a", layers(l=1e-3)), named("b", layers(l=1e-3)), named("c", layers(l=1e-3), threads=4)
        )
        assert comparison.differences == {("a", "c"): ("threads: 2 → 4",)}

    def test_between_devices_the_machine_is_what_is_compared_but_libraries_are_not(self) -> None:
        case = record(device="cuda:0")
        runs = [
            named("a", [taken(case, 1e-3)], machine=_gpu("A100", "one"), software={"torch": "2.6.0"}),
            named("b", [taken(case, 1e-3)], machine=_gpu("H100", "two"), software={"torch": "2.7.0"}),
        ]
        comparison = compared(*runs, by="device")
        assert comparison.differences == {("A100", "H100"): ("library torch: 2.6.0 → 2.7.0",)}


class TestNothingToCompare:
    def _message(self, *runs: Run, by: str = "") -> str:
        with pytest.raises(UserError) as caught:
            compared(*runs, by=by)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    def test_the_same_run_twice(self) -> None:
        run = named("conv-1", layers(l=1e-3))
        assert self._message(run, named("b", layers(l=1e-3)), run) == (
            "A and C are the same run conv-1: name two runs; `dlbench list runs` shows them"
        )

    def test_one_run_alone(self) -> None:
        assert self._message(named("a", layers(l=1e-3))) == (
            "one run is nothing to compare: name two, or what to compare within one with --by device, backend, "
            "variant, dtype, layout or flags; `dlbench list runs` shows them"
        )

    def test_an_unknown_field(self) -> None:
        with pytest.raises(SelectionError, match=r"^no comparison by `devcie`: did you mean `device`\?$"):
            compared(named("a", []), by="devcie")

    def test_a_field_with_one_value(self) -> None:
        assert self._message(named("a", layers(l=1e-3)), by="dtype") == (
            "--by dtype compares nothing: all rows have the dtype float32; name a run with another, or compare two runs"
        )

    def test_a_run_without_a_case(self) -> None:
        assert self._message(named("a", layers(l=1e-3)), named("b", [])) == (
            "A and B have no case in common: B has no case at all"
        )
        assert self._message(named("a", []), by="dtype") == (
            "--by dtype compares nothing: there are no rows; name a run with another, or compare two runs"
        )

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"device": "cuda:0"}, "devices differ (A has cpu; B has cuda:0); `--by device` compares these"),
            (
                {"dtype": "float64"},
                "dtypes differ (A has float32; B has float64); `--by dtype` compares these",
            ),
            ({"cache": "cold"}, "cache states differ (A has hot; B has cold)"),
            ({"direction": "backward"}, "directions differ (A has forward; B has backward)"),
            ({"data": "zeros"}, "input data differ (A has normal; B has zeros)"),
            ({"suite": "s", "layer": "l"}, "layers differ (A has none; B has s:l)"),
            (
                {"params": "{}", "problem": "conv2d 2x8x4x4 to 8"},
                "problems differ (A has conv2d 1x8x4x4 to 8; B has conv2d 2x8x4x4 to 8)",
            ),
        ],
    )
    def test_the_nearest_cause_is_told(self, changes: dict[str, str], message: str) -> None:
        first, second = named("a", [taken(NAIVE, 1e-3)]), named("b", [taken(record(**changes), 1e-3)])
        assert self._message(first, second) == f"A and B have no case in common: their {message}"

    def test_other_variants_are_compared_by_variant(self) -> None:
        first = [taken(record(f"numba:v{number}"), 1e-3) for number in range(5)]
        assert self._message(named("a", first), named("b", [taken(LIBRARY, 1e-3)])) == (
            "A and B have no case in common: their variants differ (A has numba:v0, numba:v1, numba:v2, …; "
            "B has torch:library); `--by variant` compares these"
        )

    def test_backends_without_a_variant_in_common_are_too(self) -> None:
        run = named("a", [taken(NAIVE, 1e-3), taken(LIBRARY, 1e-3)])
        assert self._message(run, by="backend") == (
            "numba and torch have no case in common: their variants differ (numba has naive; torch has library); "
            "`--by variant` compares these"
        )

    def test_more_than_one_cause(self) -> None:
        other = record("torch:library", device="cuda:0")
        assert self._message(named("a", [taken(NAIVE, 1e-3)]), named("b", [taken(other, 1e-3)])) == (
            "A and B have no case in common, and differ in more than one of device, variant, dtype, cache and problem"
        )


class TestRegression:
    def _found(
        self, first: list[Measurement], second: list[Measurement], share: float = 0.05
    ) -> tuple[int, str]:
        found = find_regression(compared(named("a", first), named("b", second)), share)
        return found.status, found.line

    def test_nothing_slower_is_fine(self) -> None:
        assert self._found(layers(l=1e-3, m=1e-3), layers(l=1e-3, m=0.5e-3)) == (
            0, "fine: no row is slower by more than 5 %",
        )  # fmt: skip

    def test_a_slower_row_is_a_regression(self) -> None:
        assert self._found(layers(l=1e-3, m=1e-3), layers(l=1.1e-3, m=1e-3)) == (
            1, "regression: 1 row slower by more than 5 %",
        )  # fmt: skip

    def test_within_the_share_it_is_none(self) -> None:
        assert self._found(layers(l=1e-3), layers(l=1.1e-3), 0.2)[0] == 0

    def test_a_case_that_fails_now_is_a_regression(self) -> None:
        broken = [failed(record(layer="l"), "crashed"), *layers(m=1.2e-3, n=1.2e-3)]
        assert self._found(layers(l=1e-3, m=1e-3, n=1e-3), broken) == (
            1, "regression: 2 rows slower by more than 5 % and 1 row failed",
        )  # fmt: skip

    def test_a_case_that_failed_before_is_none(self) -> None:
        broken = [failed(record(layer="l"), "crashed"), *layers(m=1e-3)]
        assert self._found(broken, layers(l=1e-3, m=1e-3))[0] == 0
        assert self._found(broken, broken)[0] == 0

    def test_an_interval_that_reaches_beyond_the_share_is_inconclusive(self) -> None:
        first, second = (taken(NAIVE, 1e-3, spread=0.05, seed=seed) for seed in (0, 1))
        assert self._found([first], [second]) == (
            3, "inconclusive: 1 row may be slower by more than 5 %; more rounds would tell",
        )  # fmt: skip

    def test_one_that_does_not_reach_so_far_is_fine(self) -> None:
        first, second = (taken(NAIVE, 1e-3, spread=0.05, seed=seed) for seed in (0, 1))
        assert self._found([first], [second], 0.1)[0] == 0

    def test_too_few_rounds_are_inconclusive(self) -> None:
        first, second = (taken(NAIVE, 1e-3, rounds=3, spread=0.001) for _ in range(2))
        assert self._found([first], [second], 0.5)[0] == 3

    def test_a_case_that_was_not_reached_is_inconclusive(self) -> None:
        skipped = Measurement(record(layer="l"), (), "unconverged", "interrupted")
        assert self._found(layers(l=1e-3, m=1e-3), [skipped, *layers(m=1e-3)])[0] == 3

    def test_a_share_below_the_noise_floor_is_told(self) -> None:
        assert self._found(layers(l=1e-3), layers(l=1e-3), 0.01) == (
            0, "fine: no row is slower by more than 1 %; changes below the noise floor of 5 % do not count",
        )  # fmt: skip


def test_what_is_told_beside_the_rows_is_json() -> None:
    comparison = compared(
        named("a", layers(l=1e-3, m=1e-3)), named("b", layers(l=1e-3), threads=4), names=("x.json", "y.json")
    )
    head = json.loads(json.dumps(comparison.head()))
    assert (head["by"], head["base"], head["others"]) == ("", "x.json", ["y.json"])
    assert head["runs"] == {"x.json": ["a"], "y.json": ["b"]}
    assert head["differences"] == [{"between": ["x.json", "y.json"], "lines": ["threads: 2 → 4"]}]
    assert head["missing"][0]["layer"] == "m"
    assert head["means"][0]["rows"] == 1
