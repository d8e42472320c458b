"""What is concluded of a case."""

from __future__ import annotations

from dataclasses import replace

from standings import PRECISION, quiet, standing

from dlbench.results.measurement import Visit
from dlbench.runner.verdict import Circumstances, conclude
from dlbench.statistics import LOW_QUANTILE
from dlbench.timing.stopping import Precision

RUN = Circumstances(PRECISION, budget=180.0, cores=2)


def test_a_precise_case_is_ok() -> None:
    assert conclude(standing(*(quiet(n) for n in (1, 2, 3))), RUN) == ("ok", "")


def test_a_case_never_reached_says_so() -> None:
    assert conclude(standing(), RUN) == ("unconverged", "not measured: the budget of 3m00s ran out first")


def test_a_wide_interval_is_unconverged_with_its_width_and_the_cause() -> None:
    verdict, reason = conclude(standing(quiet(1, 1.0), quiet(2, 1.5), quiet(3, 0.8)), RUN)
    assert verdict == "unconverged"
    assert reason.startswith("±")
    assert conclude(standing(quiet(1)), RUN)[1] == "1 of at least 3 rounds: the budget of 3m00s ran out"
    assert reason.endswith("after 3 rounds, ±3.0% asked: the budget of 3m00s ran out")


def test_the_most_rounds_are_named_as_the_cause() -> None:
    verdict, reason = conclude(
        standing(*(quiet(n, seconds) for n, seconds in enumerate((1.0, 1.9, 1.3, 1.6, 1.1), 1))), RUN
    )
    assert verdict == "unconverged"
    assert reason.endswith("5 rounds are the most (measure.rounds.max)")


def test_an_interruption_is_named_as_the_cause() -> None:
    wide = standing(quiet(1, 1.0), quiet(2, 1.5), quiet(3, 0.8))
    _, reason = conclude(wide, Circumstances(PRECISION, 180.0, 2, interrupted=True))
    assert reason.endswith("the run was interrupted")


def test_a_case_mostly_disturbed_and_wide_is_noisy() -> None:
    verdict, reason = conclude(standing(quiet(1, 1.0, disturbed=9), quiet(2, 1.5, disturbed=8)), RUN)
    assert verdict == "noisy"
    assert reason.endswith("load average 3.1 on 2 cores, 85% of samples preempted")


def test_two_speeds_are_noisy_however_narrow_the_interval() -> None:
    wide_target = Circumstances(Precision(target=0.9, min_rounds=3, max_rounds=8), None, cores=2)
    visits = [quiet(number, 1.2 if number in (2, 3, 5, 8) else 1.0) for number in range(1, 9)]
    assert wide_target.precision.met([visit.samples for visit in visits])
    assert conclude(standing(*visits), wide_target) == (
        "noisy",
        "two modes: 1.00 s in 4 processes, 1.20 s in 4 (20 % apart)",
    )


def test_a_drift_is_noisy_and_says_how_far() -> None:
    loose = Circumstances(Precision(target=0.9, min_rounds=3, max_rounds=8), None, cores=2)
    visits = [quiet(number, 1 + 0.02 * (number - 1)) for number in range(1, 9)]
    verdict, reason = conclude(standing(*visits), loose)
    assert (verdict, reason) == ("noisy", "drift: 14 % slower from the first process to the last")


def test_heavy_disturbance_is_noisy_even_where_the_low_quantile_is_sure() -> None:
    loose = Circumstances(Precision(target=0.9, min_rounds=3, max_rounds=8), None, cores=2)
    visits = [Visit(number, samples=(1.0, 1.0, 2.0, 2.0, 2.0)) for number in range(1, 5)]
    verdict, reason = conclude(standing(*visits), loose)
    assert verdict == "noisy"
    assert reason.startswith("heavily disturbed: half of the samples took more than 2.0 times")


def test_a_failure_outranks_every_sample() -> None:
    failed = Visit(2, verdict="crashed", reason="SIGSEGV")
    assert conclude(standing(quiet(1), failed), RUN) == ("crashed", "SIGSEGV")


def slowed(number: int, reason: str = "SM clock 600 of 1410 MHz") -> Visit:
    return replace(quiet(number), verdict="throttled", reason=reason)


def test_a_case_slowed_down_in_most_rounds_is_throttled_and_keeps_its_time() -> None:
    two_of_three = standing(slowed(1), quiet(2), slowed(3))
    assert conclude(two_of_three, RUN) == ("throttled", "in 2 of 3 rounds: SM clock 600 of 1410 MHz")
    assert len(two_of_three.rounds) == 3


def test_a_case_slowed_down_in_few_rounds_is_judged_by_its_interval() -> None:
    assert conclude(standing(slowed(1), quiet(2), quiet(3)), RUN) == ("ok", "")


def test_an_accelerators_headline_is_the_median_and_its_interval_ends_at_the_events_resolution() -> None:
    samples = (5.0e-6, 5.2e-6, 5.4e-6)
    on_gpu = PRECISION.on("cuda:0")
    assert on_gpu.quantile == 0.5
    assert on_gpu.half_width([samples] * 5) == 0.0
    assert on_gpu.half_width([[1e3 * sample for sample in samples]] * 5) > 0
    assert PRECISION.on("cpu").half_width([samples] * 5) > 0
    assert PRECISION.on("cpu").quantile == LOW_QUANTILE
