"""Laws of growth and exponents: those that were planted are found again."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dlbench.statistics.fits import LAWS, fit, growth, power_law

SIZES = [2.0**power for power in range(3, 14)]


def planted(law: str, coefficient: float = 3e-9, noise: float = 0.0, seed: int = 0) -> list[float]:
    """Return times that follow the law, each off by a share that is normal with that spread."""
    exact = coefficient * LAWS[law](np.array(SIZES))
    return list(exact * np.exp(noise * np.random.default_rng(seed).standard_normal(len(SIZES))))


class TestLaws:
    @pytest.mark.parametrize("law", LAWS)
    def test_a_law_without_noise_is_found_exactly(self, law: str) -> None:
        found = growth(SIZES, planted(law))
        assert found.best.law == law
        assert found.best.coefficient == pytest.approx(3e-9, rel=1e-12)
        assert found.best.error < 1e-12
        assert found.level == (law,)

    @pytest.mark.parametrize("law", LAWS)
    def test_a_law_under_noise_is_found_in_every_one_of_fifty_draws(self, law: str) -> None:
        for seed in range(50):
            best = growth(SIZES, planted(law, noise=0.02, seed=seed)).best
            assert best.law == law
            assert best.coefficient == pytest.approx(3e-9, rel=0.06)
            assert best.error < 0.1

    def test_the_errors_are_those_of_a_fit_by_hand(self) -> None:
        found = fit([1, 2, 3], [1.0, 2.0, 6.0], "n")
        assert found.coefficient == pytest.approx((1 + 4 + 18) / 14)
        left = [t - 23 / 14 * n for n, t in ((1, 1.0), (2, 2.0), (3, 6.0))]
        assert found.error == pytest.approx(math.sqrt(sum(one**2 for one in left) / 3) / 3)

    def test_google_benchmarks_own_example_of_n_log_n_takes_logarithms_to_base_2(self) -> None:
        assert float(LAWS["n log n"](np.array([8.0]))[0]) == 24.0
        assert float(LAWS["log n"](np.array([1024.0]))[0]) == 10.0

    def test_the_best_comes_first_and_every_law_is_told(self) -> None:
        found = growth(SIZES, planted("n", noise=0.02))
        errors = [one.error for one in found.fits]
        assert errors == sorted(errors)
        assert {one.law for one in found.fits} == set(LAWS)

    def test_laws_that_the_data_do_not_tell_apart_are_level(self) -> None:
        sizes = [64.0, 80.0, 96.0, 112.0]
        noisy = [1.1, 1.2, 1.75, 1.6]
        assert {"n", "n log n"} <= set(growth(sizes, noisy).level)
        assert growth(SIZES, planted("n", noise=0.02)).level == ("n",)

    @pytest.mark.parametrize(
        ("sizes", "times"),
        [
            ([1, 2], [1.0, 2.0]),
            ([2, 2, 2], [1.0, 1.0, 1.0]),
            ([1, 2, 3], [1.0, 2.0]),
            ([0, 1, 2], [1.0, 2.0, 3.0]),
            ([1, 2, 3], [1.0, 0.0, 3.0]),
            ([1, 2, math.nan], [1.0, 2.0, 3.0]),
        ],
    )
    def test_what_cannot_be_fitted_is_refused(self, sizes: list[float], times: list[float]) -> None:
        with pytest.raises(ValueError, match="a growth is fitted over"):
            fit(sizes, times, "n")


class TestPowerLaw:
    @pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 1.0, 2.37, 3.0])
    def test_an_exponent_without_noise_is_found_exactly(self, exponent: float) -> None:
        found = power_law(SIZES, [7e-6 * size**exponent for size in SIZES])
        assert found.exponent == pytest.approx(exponent, abs=1e-12)
        assert found.high - found.low < 1e-12

    def test_the_interval_holds_the_exponent_in_19_of_20_draws(self) -> None:
        rng = np.random.default_rng(1)
        draws = 2000
        held = 0
        for _ in range(draws):
            noise = np.exp(0.05 * rng.standard_normal(len(SIZES)))
            found = power_law(SIZES, list(2e-9 * np.array(SIZES) ** 1.5 * noise))
            held += found.low <= 1.5 <= found.high
        assert held / draws == pytest.approx(0.95, abs=4 * math.sqrt(0.05 * 0.95 / draws))

    def test_the_interval_is_that_of_a_line_through_the_logarithms(self) -> None:
        from scipy.stats import linregress, t

        x, y = [1.0, 2.0, 4.0, 8.0, 16.0], [1.1, 1.9, 4.3, 7.7, 16.9]
        line = linregress(np.log(x), np.log(y))
        found = power_law(x, y)
        assert found.exponent == pytest.approx(line.slope)
        half = t.ppf(0.975, 3) * line.stderr
        assert found.low == pytest.approx(line.slope - half)
        assert found.high == pytest.approx(line.slope + half)

    def test_it_is_three_numbers(self) -> None:
        exponent, low, high = power_law([1, 2, 4, 8], [1.0, 2.1, 3.9, 8.2])
        assert low < exponent < high

    @pytest.mark.parametrize(
        ("x", "y", "message"),
        [
            ([1, 2], [1.0, 2.0], "2 and 2 points"),
            ([1, 2, 3], [1.0, 2.0], "3 and 2 points"),
            ([1, 2, 0], [1.0, 2.0, 3.0], "positive numbers"),
            ([1, 2, 3], [1.0, 2.0, -3.0], "positive numbers"),
            ([1, 2, math.inf], [1.0, 2.0, 3.0], "positive numbers"),
            ([2, 2, 2], [1.0, 2.0, 3.0], "different sizes"),
        ],
    )
    def test_what_cannot_be_fitted_is_refused(self, x: list[float], y: list[float], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            power_law(x, y)
